//! Requests that stay with the endpoint that served their client's first.

use causeway_config::SessionPersistence;
use causeway_core::cluster::AppProtocol;
use causeway_tests::{Client, Edge, Origin, World};

const WWW: &str = "www.example.com";

fn sticky(world: World) -> World {
    world.with(|config| {
        let session_persistence = Some(SessionPersistence { session_name: "session".into(), absolute_timeout: None });
        let policy = causeway_config::HostPolicy { session_persistence, ..Default::default() };
        config.hosts.insert(WWW.parse().unwrap(), policy);
    })
}

/// Asks with a cookie; who answered, and the cookie that was set, if one was.
async fn ask(edge: &Edge, cookie: Option<&str>) -> (String, Option<String>) {
    let cookie = cookie.map(|cookie| format!("Cookie: theme=dark; {cookie}\r\n")).unwrap_or_default();
    let request = format!("GET / HTTP/1.1\r\nHost: {WWW}\r\n{cookie}\r\n");
    let response = Client::h1(edge.https, WWW).await.request(&request).await;
    assert_eq!(response.status(), 200);
    let set = response.field("set-cookie").map(|value| value.split(';').next().unwrap_or_default().to_owned());
    (response.text(), set)
}

#[tokio::test]
async fn a_client_stays_with_the_endpoint_that_served_it_first() {
    let origins = [Origin::named("one").await, Origin::named("two").await, Origin::named("three").await];
    let addresses = [origins[0].address, origins[1].address, origins[2].address];
    let edge = Edge::start(&sticky(World::new().serve(WWW, &addresses)), &[&[WWW]]);
    let (first, cookie) = ask(&edge, None).await;
    let cookie = cookie.expect("the first answer says where the session is");
    for _ in 0..10 {
        assert_eq!(ask(&edge, Some(&cookie)).await, (first.clone(), None));
    }
    assert_eq!(edge.metric("causeway_tries_total{step=\"sticky\"}").as_deref(), Some("10"));
    let forged = cookie.replace("session=aws", "session=azure");
    assert!(ask(&edge, Some(&forged)).await.1.is_some(), "what we have not signed is no session");
}

#[tokio::test]
async fn a_session_moves_when_its_endpoint_is_gone_and_stays_there() {
    let (gone, alive) = (Origin::named("gone").await, Origin::named("alive").await);
    let world = |here: &[_]| sticky(World::new().route(WWW, "/", AppProtocol::Http, &[here, &[alive.address]]));
    let edge = Edge::start(&world(&[gone.address]), &[&[WWW]]);
    let (first, cookie) = ask(&edge, None).await;
    assert_eq!(first, "gone", "home comes first");
    edge.publish(&world(&[]));
    let (second, moved) = ask(&edge, cookie.as_deref()).await;
    assert_eq!(second, "alive");
    edge.publish(&world(&[gone.address]));
    assert_eq!(ask(&edge, moved.as_deref()).await, ("alive".into(), None), "it does not move back by itself");
}

#[tokio::test]
async fn a_session_survives_the_death_of_its_endpoint() {
    let (dying, alive) = (Origin::named("dying").await, Origin::named("alive").await);
    let world = sticky(World::new().route(WWW, "/", AppProtocol::Http, &[&[dying.address], &[alive.address]]));
    let edge = Edge::start(&world, &[&[WWW]]);
    let (_, cookie) = ask(&edge, None).await;
    drop(dying);
    let (served, moved) = ask(&edge, cookie.as_deref()).await;
    assert_eq!(served, "alive");
    assert!(moved.is_some_and(|moved| moved.starts_with("session=azure.")));
}
