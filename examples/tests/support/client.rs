//! One keep-alive HTTP connection, for tests and measurements that ask a running server.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, IF_NONE_MATCH};
use hyper::http::request::Builder;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A connection that sends one secret with everything, unless told otherwise.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    authorization: String,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Client {
    pub async fn connect(server: SocketAddr, secret: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        // It ends with the connection; what went wrong reaches whoever waits for an answer.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, host: server.to_string(), authorization: format!("Bearer {secret}") })
    }

    pub async fn post(&mut self, path: &str, json: impl Into<Bytes>) -> hyper::Result<Answer> {
        self.send(Method::POST, path, json).await
    }

    pub async fn get(&mut self, path: &str) -> hyper::Result<Answer> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        json: impl Into<Bytes>,
    ) -> hyper::Result<Answer> {
        let request = self.request(method, path, &self.authorization);
        self.exchange(request, json.into()).await
    }

    /// As whoever has this secret.
    pub async fn get_as(&mut self, secret: &str, path: &str) -> hyper::Result<Answer> {
        let request = self.request(Method::GET, path, &format!("Bearer {secret}"));
        self.exchange(request, Bytes::new()).await
    }

    /// As whoever has this secret.
    pub async fn post_as(
        &mut self,
        secret: &str,
        path: &str,
        json: impl Into<Bytes>,
    ) -> hyper::Result<Answer> {
        let request = self.request(Method::POST, path, &format!("Bearer {secret}"));
        self.exchange(request, json.into()).await
    }

    /// Asks for what may have changed since it had this ETag.
    pub async fn get_unless(&mut self, path: &str, tag: &str) -> hyper::Result<Answer> {
        let request = self.request(Method::GET, path, &self.authorization);
        self.exchange(request.header(IF_NONE_MATCH, tag), Bytes::new()).await
    }

    fn request(&self, method: Method, path: &str, authorization: &str) -> Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host)
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/json")
    }

    async fn exchange(&mut self, request: Builder, body: Bytes) -> hyper::Result<Answer> {
        let request = request.body(Full::new(body)).expect("paths of tests are valid");
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.into_body().collect().await?.to_bytes() })
    }
}
