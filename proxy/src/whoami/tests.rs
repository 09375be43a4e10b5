#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

async fn start(options: Options) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(serve(listener, options, async move {
        let _ = stopped.await;
    }));
    Running { address, stop, ended }
}

fn azure(page: Page) -> Options {
    Options { name: "web-<1>".into(), cluster: Some("azure".into()), hostname: "node-1".into(), page, h2c: false }
}

async fn read(response: Response<Incoming>) -> (StatusCode, HeaderMap, Bytes) {
    let (head, body) = response.into_parts();
    (head.status, head.headers, body.collect().await.unwrap().to_bytes())
}

async fn get(address: SocketAddr, path: &str, accept: &str) -> (StatusCode, HeaderMap, Bytes) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "shop.example.com").header("accept", accept);
    read(sender.send_request(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap()).await
}

#[tokio::test]
async fn text_names_cluster_pod_and_request() {
    let server = start(azure(Page::Facts)).await;
    let (status, _, body) = get(server.address, "/cart?a=1", "*/*").await;
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(status, 200);
    for line in
        ["cluster: azure", "name: web-<1>", "hostname: node-1", "protocol: HTTP/1.1", "method: GET", "path: /cart", "query: a=1"]
    {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
    assert!(text.ends_with("\n\nhost: shop.example.com\naccept: */*\n"), "{text}");
}

#[tokio::test]
async fn json_by_accept_even_from_the_page() {
    let server = start(azure(Page::Wordpress)).await;
    let (_, headers, body) = get(server.address, "/", "text/html, application/json;q=0.9").await;
    assert_eq!(headers["content-type"], "application/json");
    let facts: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&facts["cluster"], &facts["host"]), (&"azure".into(), &"shop.example.com".into()));
    assert_eq!(facts["headers"]["accept"][0], "text/html, application/json;q=0.9");
}

#[tokio::test]
async fn the_wordpress_page_shows_the_cluster_and_escapes_names() {
    let server = start(azure(Page::Wordpress)).await;
    let (_, headers, body) = get(server.address, "/", "text/html").await;
    let page = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert!(page.contains("<strong id=\"cluster\">azure</strong>") && page.contains("web-&lt;1&gt;"), "{page}");
}

#[tokio::test]
async fn h2c_is_understood_beside_http_1_and_a_body_is_counted() {
    let server = start(azure(Page::Facts)).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://shop.example.com/").header("accept", "application/json");
    let response = sender.send_request(request.body(Full::new(Bytes::from_static(b"hello"))).unwrap()).await.unwrap();
    let facts: Value = serde_json::from_slice(&read(response).await.2).unwrap();
    assert_eq!(facts["protocol"], "HTTP/2.0");
    assert_eq!((&facts["bodyBytes"], &facts["host"]), (&5.into(), &"shop.example.com".into()));
}

#[tokio::test]
async fn h2c_alone_refuses_http_1() {
    let server = start(Options { h2c: true, ..azure(Page::Facts) }).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/").header("host", "a").body(Full::<Bytes>::default()).unwrap();
    assert!(sender.send_request(request).await.is_err());
}

#[tokio::test]
async fn the_query_chooses_status_and_size() {
    let server = start(azure(Page::Facts)).await;
    let (status, _, body) = get(server.address, "/?status=503&size=65536&wait=1ms", "*/*").await;
    assert_eq!((status, body.len()), (StatusCode::SERVICE_UNAVAILABLE, 65_536));
    let (status, _, _) = get(server.address, "/healthz?status=503", "*/*").await;
    assert_eq!(status, 200);
    for bad in ["status=1", "status=100", "status=x", "size=999999999999", "size=-1", "wait=10m", "wait=301s", "wait="] {
        let (status, _, body) = get(server.address, &format!("/?{bad}"), "*/*").await;
        assert_eq!(status, 400, "{bad}");
        assert!(String::from_utf8(body.to_vec()).unwrap().contains(bad), "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn wait_delays_the_answer_and_shutdown_lets_it_come() {
    let server = start(azure(Page::Facts)).await;
    let begun = tokio::time::Instant::now();
    let waiting = tokio::spawn(async move { get(server.address, "/?wait=2s", "*/*").await });
    let (status, _, _) = waiting.await.unwrap();
    assert_eq!(status, 200);
    assert!(begun.elapsed() >= Duration::from_secs(2));
    server.stop.send(()).unwrap();
    server.ended.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[test]
fn the_command_line_makes_the_options() {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }
    let cli = <Cli as clap::Parser>::parse_from(["x", "--name", "web-1", "--cluster", "aws", "--page", "wordpress", "--h2c"]);
    let options = cli.args.options();
    assert_eq!((&*options.name, options.cluster.as_deref()), ("web-1", Some("aws")));
    assert_eq!((options.page, options.h2c), (Page::Wordpress, true));
}
