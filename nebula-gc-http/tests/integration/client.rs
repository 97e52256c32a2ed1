//! What the client makes of servers that answer wrongly, late or not at all.

mod failover;
mod limits;
mod node;
mod typed;

use std::net::SocketAddr;
use std::time::Duration;

use nebula_gc_http::client::{Client, ClientError, Request};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Serves connections one after the other, each with one of these answers to its first request, and
/// tells the requests; where an answer is empty the connection is cut.
async fn server(answers: Vec<String>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut asked = vec![];
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                let mut part = [0; 1024];
                let count = stream.read(&mut part).await.unwrap();
                assert_ne!(count, 0, "the request was cut");
                request.extend(part.iter().take(count));
            }
            asked.push(String::from_utf8(request).unwrap());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    (address, serving)
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn client(address: SocketAddr) -> Client {
    Client::new(&format!("http://{address}/base/")).unwrap().with_key("secret")
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_where_that_is_safe() {
    let list = answer("200 OK", r#"{"items": [1, 2]}"#);
    let (address, asked) = server(vec![String::new(), list]).await;
    let client = client(address);
    let mut pages = client.pages(Request::get("/a").query("x", "ä&b"));
    assert_eq!(pages.next().await.unwrap(), Some(vec![json!(1), json!(2)]));
    assert_eq!(pages.next().await.unwrap(), None);
    let asked = asked.await.unwrap();
    let line = "GET /base/api/v1/a?x=%C3%A4%26b HTTP/1.1\r\n";
    assert!(asked.len() == 2 && asked.iter().all(|it| it.starts_with(line)), "{asked:?}");
    assert!(asked.iter().all(|it| it.contains("authorization: Bearer secret\r\n")), "{asked:?}");
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_not_made_twice() {
    let made = answer("201 Created", r#"{"id": 1}"#);
    let (address, _asked) = server(vec![String::new(), made]).await;
    let client = client(address);
    let lost = client.send(Request::post("/a", json!({}))).await;
    assert!(matches!(lost, Err(ClientError::Broken { .. })), "{lost:?}");
    let again = Request::post("/a", json!({})).idempotency_key("k").unwrap();
    assert_eq!(client.send(again).await.unwrap().json().unwrap(), json!({"id": 1}));
}

#[tokio::test]
async fn refusals_are_read_and_other_servers_told_apart() {
    let problem = r#"{"type": "about:blank", "title": "t", "status": 429, "code": "rate_limited",
        "detail": "too often", "requestId": "r"}"#;
    let refusal = answer("429 Too Many Requests\r\nRetry-After: 7", problem);
    let page = answer("404 Not Found", "<html>");
    let (address, _asked) = server(vec![refusal, page, answer("200 OK", "<html>")]).await;
    let client = client(address);
    match client.send(Request::get("/a")).await {
        Err(ClientError::Refused { server, problem }) => {
            assert_eq!(server, format!("http://{address}/base"));
            assert_eq!((problem.code.as_str(), problem.retry_after), ("rate_limited", Some(7)));
            assert_eq!(problem.to_string(), "too often (rate_limited)");
        }
        other => panic!("{other:?}"),
    }
    let other = client.send(Request::get("/a")).await;
    assert!(matches!(other, Err(ClientError::Unexpected { status: 404, .. })), "{other:?}");
    let other = client.send(Request::get("/a")).await.unwrap().json();
    assert!(matches!(other, Err(ClientError::Unexpected { status: 200, .. })), "{other:?}");
}

#[tokio::test]
async fn an_answer_takes_no_longer_than_it_may() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(listener.local_addr().unwrap()).with_patience(Duration::from_millis(50));
    let late = client.send(Request::get("/a")).await;
    assert!(matches!(late, Err(ClientError::Timeout { .. })), "{late:?}");
}

#[test]
fn addresses_are_checked_before_anything_is_sent() {
    for wrong in ["", "a", "ftp://a", "http://", "https://a b", "http://u:p@a", "http://a?q"] {
        assert!(matches!(Client::new(wrong), Err(ClientError::Address { .. })), "{wrong}");
    }
    assert!(Client::new("http://[::1]:80").is_ok());
    assert!(Client::new("http://a").unwrap().with_pin([0; 32]).is_err());
    assert!(!format!("{:?}", Client::new("http://a").unwrap().with_key("k3y")).contains("k3y"));
}

#[tokio::test]
async fn a_list_that_goes_round_ends() {
    let page = answer("200 OK", r#"{"items": [1], "next": "x"}"#);
    let (address, _) = server(vec![page.clone(), page]).await;
    let client = client(address);
    let mut pages = client.pages(Request::get("/tenants"));
    assert_eq!(pages.next().await.unwrap().unwrap().len(), 1);
    let refused = pages.next().await.unwrap_err();
    assert!(refused.to_string().contains("the same again"), "{refused}");
}
