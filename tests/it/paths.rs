//! Paths: what routes are matched by is what backends get, and no trick of writing leads past it.

use causeway_core::cluster::AppProtocol;
use causeway_tests::{Client, Edge, Origin, World, client, soon};

const WWW: &str = "www.example.com";

/// Only `/public` is for the world; `/admin` is another route's.
async fn setup() -> (Origin, Origin, Edge) {
    let (public, admin) = (Origin::named("public").await, Origin::named("admin").await);
    let world = World::new().route(WWW, "/public", AppProtocol::Http, &[&[public.address]]).route(
        WWW,
        "/admin",
        AppProtocol::Http,
        &[&[admin.address]],
    );
    let edge = Edge::start(&world, &[&[WWW]]);
    (public, admin, edge)
}

#[tokio::test]
async fn the_normal_form_chooses_the_route_and_is_what_the_backend_gets() {
    let (public, admin, edge) = setup().await;
    let mut client = Client::h1(edge.https, WWW).await;
    for (path, served, forwarded) in [
        ("/public/../admin/x", "admin", "/admin/x"),
        ("/public/%2e%2E/admin", "admin", "/admin"),
        ("//admin//x?q=//..", "admin", "/admin/x?q=//.."),
        ("/%61dmin", "admin", "/admin"),
        ("/./public/a%2fb", "public", "/public/a%2Fb"),
        ("/public/a;v=1/%20", "public", "/public/a;v=1/%20"),
    ] {
        let response = client.get(WWW, path).await;
        assert_eq!((response.status(), response.text().as_str()), (200, served), "{path}");
        let origin = if served == "admin" { &admin } else { &public };
        assert_eq!(origin.requests().last().unwrap().line(), format!("GET {forwarded}"), "{path}");
    }
}

const TRICKS: [&str; 14] = [
    "/public/..%2fadmin",
    "/public/..%2Fadmin",
    "/public%2f..%2fadmin",
    "/public/%2e%2e%2fadmin",
    "/public/..%5cadmin",
    "/public/..;/admin",
    "/public/..;x=y/admin",
    "/public/%252e%252e%252fadmin",
    "/public/%252e%252e/admin",
    "/public/..%c0%afadmin",
    "/public/%00",
    "/public/%zz",
    "/../admin",
    "/public/../../admin",
];

#[tokio::test]
async fn no_trick_leads_to_a_path_of_another_route() {
    let (public, admin, edge) = setup().await;
    for path in TRICKS.iter().chain(&["/public\\..\\admin", "/public#/../admin"]) {
        let mut client = Client::h1(edge.https, WWW).await;
        let response = client.get(WWW, path).await;
        assert_eq!(response.status(), 400, "{path}");
        assert_eq!(response.field("connection"), Some("close"), "{path}");
    }
    let mut send = client::h2(edge.https, WWW).await;
    for path in TRICKS {
        let (response, _) =
            send.send_request(http::Request::get(format!("https://{WWW}{path}")).body(()).unwrap(), true).unwrap();
        assert_eq!(soon("a response", response).await.unwrap().status(), 400, "{path}");
        send = soon("readiness", send.ready()).await.unwrap();
    }
    assert!(public.requests().is_empty() && admin.requests().is_empty());
}
