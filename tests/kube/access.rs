//! Credentials that change, and connections that take other ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use causeway_core::cluster::Freshness;
use causeway_test_apiserver::{ApiServer, Options, TOKEN};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::support::*;

async fn unfollowed() -> (ApiServer, tempfile::TempDir) {
    let server = ApiServer::start(Options::default()).await.unwrap();
    server.apply(&service("shop/web")).unwrap();
    (server, tempfile::TempDir::new().unwrap())
}

#[tokio::test]
async fn a_kubeconfig_that_comes_later_or_is_mended_is_found() {
    let (server, folder) = unfollowed().await;
    let mut followed = Followed::follow(server, folder, &Setting::default());
    let state = followed.until("a diagnostic", |state| !state.diagnostics.is_empty()).await;
    assert_eq!(state.freshness, Freshness::Syncing);
    assert!(diagnostics(&state).contains("write it there"), "{}", diagnostics(&state));
    followed.write_kubeconfig("apiVersion: v1\nkind: Config\ncontexts: []\n");
    let state = followed.until("another", |state| diagnostics(state).contains("context")).await;
    assert!(diagnostics(&state).contains("current-context"), "{}", diagnostics(&state));
    followed.write_kubeconfig(&followed.server.kubeconfig("azure", TOKEN));
    let state = followed.synced().await;
    assert_eq!(diagnostics(&state), "");
}

#[tokio::test]
async fn a_refused_token_is_said_and_a_new_one_taken_up() {
    let mut followed = Followed::new(&service("shop/web")).await;
    followed.watching().await;
    followed.server.revoke(TOKEN);
    followed.server.close_watches();
    let stale = followed.until("staleness", |state| matches!(state.freshness, Freshness::Stale(_))).await;
    assert!(diagnostics(&stale).contains("Unauthorized"), "{}", diagnostics(&stale));
    assert_eq!(services(&stale), ["shop/web"]);
    followed.server.admit("second", "reader");
    followed.write_kubeconfig(&followed.server.kubeconfig("azure", "second"));
    followed.until("the return", |state| state.freshness == Freshness::Synced).await;
}

/// Tokens of pods live for an hour; the kubelet writes new ones into the file. After a 401 it is read at once.
#[tokio::test]
async fn a_token_file_is_read_again() {
    let (server, folder) = unfollowed().await;
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let kubeconfig = server.kubeconfig("azure", "").replace(r#""token":"""#, r#""tokenFile":"token""#);
    std::fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
    let mut followed = Followed::follow(server, folder, &Setting::default());
    followed.watching().await;
    followed.server.admit("second", "reader");
    std::fs::write(&token, "second\n").unwrap();
    followed.server.revoke(TOKEN);
    followed.server.close_watches();
    followed.server.apply(&service("shop/new")).unwrap();
    followed.until("the change, with the new token", |state| state.objects.services.len() == 2).await;
}

#[tokio::test]
async fn a_server_with_another_authority_is_not_believed_until_the_kubeconfig_says_so() {
    let mut followed = Followed::new(&service("shop/web")).await;
    followed.synced().await;
    followed.server.renew_certificate().unwrap();
    followed.server.restart().await.unwrap();
    let stale = followed.until("staleness", |state| matches!(state.freshness, Freshness::Stale(_))).await;
    assert!(diagnostics(&stale).contains("certificate"), "{}", diagnostics(&stale));
    followed.server.apply(&service("shop/new")).unwrap();
    followed.write_kubeconfig(&followed.server.kubeconfig("azure", TOKEN));
    followed.until("the return", |state| state.objects.services.len() == 2 && state.freshness == Freshness::Synced).await;
}

/// `tls-server-name`, for servers behind an address that their certificate does not name.
#[tokio::test]
async fn the_tls_server_name_is_honoured() {
    let (server, folder) = unfollowed().await;
    for (name, good) in [("kubernetes.default.svc", true), ("elsewhere.example", false)] {
        let with = format!(r#""server":"https://{}","tls-server-name":"{name}""#, server.address());
        let text = server.kubeconfig("azure", TOKEN).replace(&format!(r#""server":"https://{}""#, server.address()), &with);
        std::fs::write(folder.path().join(name), text).unwrap();
        let access = causeway_discovery::kube::Access::Kubeconfig { path: folder.path().join(name), context: None };
        let evidence = causeway_discovery::kube::Evidence::new(clock());
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = access.client(&evidence, &QUICK).await.unwrap();
        assert_eq!(client.apiserver_version().await.is_ok(), good, "{name}");
    }
}

/// `proxy-url`: the connection goes through the proxy, and TLS through the connection.
#[tokio::test]
async fn the_proxy_of_a_kubeconfig_is_used() {
    let (server, folder) = unfollowed().await;
    let tunnels = Arc::new(AtomicUsize::new(0));
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = proxy.local_addr().unwrap();
    let count = tunnels.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = proxy.accept().await {
            tokio::spawn(tunnel(client, count.clone()));
        }
    });
    let server_line = format!(r#""server":"https://{}""#, server.address());
    let with = format!(r#"{server_line},"proxy-url":"http://{address}""#);
    let text = server.kubeconfig("azure", TOKEN).replace(&server_line, &with);
    std::fs::write(folder.path().join("kubeconfig"), text).unwrap();
    let mut followed = Followed::follow(server, folder, &Setting::default());
    followed.synced().await;
    assert!(tunnels.load(Ordering::SeqCst) >= 1);
}

/// `HTTPS_PROXY` and `NO_PROXY`, which are a process's own: so this test is its own child, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_of_the_environment_is_used_but_for_those_that_are_exempt() {
    if std::env::var_os("CAUSEWAY_TEST_CHILD").is_some() {
        Followed::new(&service("shop/web")).await.synced().await;
        return;
    }
    let tunnels = Arc::new(AtomicUsize::new(0));
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = proxy.local_addr().unwrap();
    let count = tunnels.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = proxy.accept().await {
            tokio::spawn(tunnel(client, count.clone()));
        }
    });
    let test = "access::the_proxy_of_the_environment_is_used_but_for_those_that_are_exempt";
    for (exempt, through) in [("example.com", true), ("example.com,127.0.0.1", false), ("*", false)] {
        let before = tunnels.load(Ordering::SeqCst);
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
        child.args([test, "--exact"]).env("CAUSEWAY_TEST_CHILD", "1");
        child.env("HTTPS_PROXY", format!("http://{address}")).env("NO_PROXY", exempt);
        let ended = child.env_remove("https_proxy").env_remove("no_proxy").kill_on_drop(true).output().await.unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
        assert_eq!(tunnels.load(Ordering::SeqCst) > before, through, "with NO_PROXY={exempt}");
    }
}

async fn tunnel(client: TcpStream, count: Arc<AtomicUsize>) {
    let mut client = BufReader::new(client);
    let mut first = String::new();
    client.read_line(&mut first).await.unwrap();
    let target = first.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap().to_owned();
    let mut line = String::new();
    while client.read_line(&mut line).await.unwrap() > 2 {
        line.clear();
    }
    count.fetch_add(1, Ordering::SeqCst);
    let mut server = TcpStream::connect(target).await.unwrap();
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

#[tokio::test]
async fn a_missing_exec_plugin_is_an_error_with_a_remedy() {
    let (server, folder) = unfollowed().await;
    let exec = r#""exec":{"apiVersion":"client.authentication.k8s.io/v1","command":"no-such-plugin-anywhere","interactiveMode":"Never"}"#;
    let text = server.kubeconfig("azure", TOKEN).replace(&format!(r#""token":"{TOKEN}""#), exec);
    std::fs::write(folder.path().join("kubeconfig"), text).unwrap();
    let mut followed = Followed::follow(server, folder, &Setting::default());
    let state = followed.until("a diagnostic", |state| !state.diagnostics.is_empty()).await;
    let text = diagnostics(&state);
    assert!(text.contains("no-such-plugin-anywhere") && text.contains("causeway kubeconfig"), "{text}");
}
