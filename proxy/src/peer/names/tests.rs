#![allow(clippy::unwrap_used)]
use std::sync::Arc;
use std::sync::Mutex;

use hickory_resolver::config::ConnectionConfig;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;

use super::*;

/// A name server on loopback that knows one name.
struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    name: String,
    /// With how long the record holds; none: the server answers that it failed.
    answer: Option<(Ipv4Addr, u32)>,
    /// Questions for addresses of IPv4.
    questions: usize,
    /// Of this name it says nothing at all.
    silent: Option<&'static str>,
}

impl Server {
    async fn with(name: &str, answer: Option<(Ipv4Addr, u32)>) -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { name: name.into(), answer, questions: 0, silent: None }));
        let of_task = Arc::clone(&state);
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let question = Message::from_vec(&buffer[..length]).unwrap();
                let (name, silent) = (question.queries[0].name().to_string(), of_task.lock().unwrap().silent);
                if silent == Some(name.as_str()) {
                    continue;
                }
                let answer = of_task.lock().unwrap().answer(&question);
                socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
            }
        });
        Self { address, state }
    }

    fn names(&self, search: &'static str) -> Names {
        let server = self.address;
        Names::new(Box::new(move || {
            let mut connection = ConnectionConfig::udp();
            connection.port = server.port();
            let servers = vec![NameServerConfig::new(server.ip(), true, vec![connection])];
            let search = search.split_whitespace().map(|domain| domain.parse().unwrap()).collect();
            uncached(ResolverConfig::from_parts(None, search, servers), ResolverOpts::default())
        }))
    }

    fn answers(&self, answer: Option<(Ipv4Addr, u32)>) {
        self.state.lock().unwrap().answer = answer;
    }

    fn questions(&self) -> usize {
        self.state.lock().unwrap().questions
    }
}

impl State {
    fn answer(&mut self, question: &Message) -> Message {
        let query = question.queries[0].clone();
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.add_query(query.clone());
        let known = *query.name() == self.name.parse::<Name>().unwrap();
        let of_ipv4 = query.query_type() == RecordType::A;
        self.questions += usize::from(of_ipv4);
        match self.answer {
            _ if !known => answer.metadata.response_code = ResponseCode::NXDomain,
            None => answer.metadata.response_code = ResponseCode::ServFail,
            Some((address, ttl)) if of_ipv4 => {
                answer.add_answer(Record::from_rdata(query.name().clone(), ttl, RData::A(address.into())));
            }
            Some(_) => {}
        }
        answer
    }
}

const ONE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const TWO: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// What a name leads to at a moment.
async fn at(names: &mut Names, now: Instant, name: &str) -> Result<Vec<String>, String> {
    names.look_up([name], now).await;
    told(names, name)
}

fn told(names: &Names, name: &str) -> Result<Vec<String>, String> {
    names.addresses(name, 8444).map(|found| found.iter().map(ToString::to_string).collect())
}

#[test]
fn an_answer_is_used_for_as_long_as_it_says_within_bounds() {
    let seconds = |ttl| next_after(Duration::from_secs(ttl)).as_secs();
    assert_eq!([0, 5, 60, 300, 86_400].map(seconds), [5, 5, 60, 300, 300]);
}

#[test]
fn failures_are_followed_by_growing_pauses() {
    let pauses = [1, 2, 3, 4, 5, 6, 40, u32::MAX].map(|failures| pause_after(failures).as_secs());
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
}

#[tokio::test]
async fn a_name_is_looked_up_again_when_its_record_has_run_out() {
    let server = Server::with("edge.example.", Some((ONE, 60))).await;
    let (mut names, begun) = (server.names(""), Instant::now());
    let after = |seconds| begun + Duration::from_secs(seconds);
    assert_eq!(at(&mut names, begun, "edge.example").await.unwrap(), ["192.0.2.1:8444"]);
    server.answers(Some((TWO, 10)));
    assert_eq!(at(&mut names, after(59), "edge.example:9").await.unwrap(), ["192.0.2.1:9"]);
    assert_eq!(server.questions(), 1, "until then nobody asks");
    assert_eq!(at(&mut names, after(60), "edge.example").await.unwrap(), ["192.0.2.2:8444"]);
    assert_eq!(server.questions(), 2);
    server.answers(Some((ONE, 10)));
    assert_eq!(at(&mut names, after(70), "edge.example").await.unwrap(), ["192.0.2.1:8444"], "the new record's time counts");
}

#[tokio::test]
async fn addresses_outlive_a_name_server_that_fails() {
    let server = Server::with("edge.example.", Some((ONE, 5))).await;
    let (mut names, begun) = (server.names(""), Instant::now());
    let after = |seconds| begun + Duration::from_secs(seconds);
    at(&mut names, begun, "edge.example").await.unwrap();
    server.answers(None);
    assert_eq!(at(&mut names, after(5), "edge.example").await.unwrap(), ["192.0.2.1:8444"]);
    let asked = server.questions();
    assert!(asked > 1);
    server.answers(Some((TWO, 5)));
    assert_eq!(at(&mut names, after(5), "edge.example").await.unwrap(), ["192.0.2.1:8444"]);
    assert_eq!(server.questions(), asked, "not before the pause is over");
    assert_eq!(at(&mut names, after(6), "edge.example").await.unwrap(), ["192.0.2.2:8444"]);
}

#[tokio::test]
async fn a_name_that_leads_nowhere_says_why_and_is_asked_for_again_after_the_pause() {
    let server = Server::with("edge.example.", Some((ONE, 5))).await;
    let (mut names, begun) = (server.names(""), Instant::now());
    let why = at(&mut names, begun, "other.example:1").await.unwrap_err();
    assert!(why.starts_with("other.example:1 cannot be resolved: "), "{why}");
    let asked = server.questions();
    at(&mut names, begun, "other.example:1").await.unwrap_err();
    assert_eq!(server.questions(), asked);
    server.state.lock().unwrap().name = "other.example.".into();
    assert_eq!(at(&mut names, begun + PAUSE, "other.example:1").await.unwrap(), ["192.0.2.1:1"]);
}

#[tokio::test]
async fn a_name_that_nobody_answers_for_keeps_no_other_waiting() {
    let server = Server::with("edge.example.", Some((ONE, 60))).await;
    server.state.lock().unwrap().silent = Some("dark.example.");
    let (mut names, begun) = (server.names(""), Instant::now());
    let both = ["dark.example", "edge.example"];
    tokio::time::timeout(LOOKUP / 2, names.look_up(both, begun)).await.expect("before the look-up of the dark one has ended");
    assert_eq!(told(&names, "edge.example").unwrap(), ["192.0.2.1:8444"]);
    assert_eq!(told(&names, "dark.example").unwrap_err(), "dark.example is still being looked up");
    server.state.lock().unwrap().silent = None;
    server.state.lock().unwrap().name = "dark.example.".into();
    let known = async {
        while told(&names, "dark.example").is_err() {
            names.look_up(both, begun).await;
        }
    };
    tokio::time::timeout(LOOKUP * 2, known).await.expect("what comes later is known later");
}

#[tokio::test]
async fn search_domains_hold() {
    let server = Server::with("edge.fleet.example.", Some((ONE, 5))).await;
    let mut names = server.names("other.example fleet.example");
    assert_eq!(at(&mut names, Instant::now(), "edge").await.unwrap(), ["192.0.2.1:8444"]);
}

#[tokio::test]
async fn etc_hosts_and_addresses_need_no_name_server() {
    let server = Server::with("edge.example.", None).await;
    let mut names = server.names("");
    let found = at(&mut names, Instant::now(), "localhost").await.unwrap();
    assert!(found.contains(&"127.0.0.1:8444".to_owned()), "{found:?}");
    assert_eq!(at(&mut names, Instant::now(), "192.0.2.7:9").await.unwrap(), ["192.0.2.7:9"]);
    assert_eq!(server.questions(), 0);
}
