//! New devices, registered from several connections.
//!
//! The server shares its processors with whoever asks it, so this asks as cheaply as it can: one
//! thread, requests written whole, and of each answer only its status, its length and the ZIP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Outcome;
use crate::server::ServerProcess;

pub(crate) struct Load<'a> {
    server: &'a ServerProcess,
    next: AtomicUsize,
}

impl<'a> Load<'a> {
    pub(crate) fn new(server: &'a ServerProcess) -> Self {
        Self { server, next: AtomicUsize::new(0) }
    }

    /// Registers so many more devices; answers how long each took.
    pub(crate) async fn run(&self, connections: usize, devices: usize) -> Outcome<Vec<Duration>> {
        let first = self.next.fetch_add(devices, Ordering::Relaxed);
        let next = Arc::new(AtomicUsize::new(first));
        let mut tasks = vec![];
        for _ in 0..connections {
            let mut connection = Connection::open(self.server).await?;
            let next = Arc::clone(&next);
            tasks.push(tokio::spawn(async move {
                let mut latencies = vec![];
                loop {
                    let device = next.fetch_add(1, Ordering::Relaxed);
                    if device >= first + devices {
                        return Outcome::Ok(latencies);
                    }
                    let body = registration(device);
                    let start = Instant::now();
                    connection.register(&body).await?;
                    latencies.push(start.elapsed());
                }
            }));
        }
        let mut latencies = vec![];
        for task in tasks {
            latencies.extend(task.await??);
        }
        Ok(latencies)
    }
}

/// One keep-alive connection.
struct Connection {
    stream: TcpStream,
    /// Of each request, up to the length of its body.
    head: String,
    received: Vec<u8>,
}

impl Connection {
    async fn open(server: &ServerProcess) -> Outcome<Self> {
        let stream = TcpStream::connect(server.address).await?;
        stream.set_nodelay(true)?;
        let (host, key) = (server.address, &server.operator_key);
        let head = format!(
            "POST /api/nebula/register HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: "
        );
        Ok(Self { stream, head, received: Vec::new() })
    }

    async fn register(&mut self, body: &str) -> Outcome<()> {
        let request = format!("{}{}\r\n\r\n{body}", self.head, body.len());
        self.stream.write_all(request.as_bytes()).await?;
        self.received.clear();
        let length = loop {
            if let Some(length) = answer_length(&self.received)? {
                break length;
            }
            self.receive().await?;
        };
        while self.received.len() < length {
            self.receive().await?;
        }
        let answer = std::str::from_utf8(&self.received)?;
        if answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"zipBundle\":\"UEsDB") {
            Ok(())
        } else {
            Err(answer.into())
        }
    }

    async fn receive(&mut self) -> Outcome<()> {
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err("the server closed the connection".into()),
            _ => Ok(()),
        }
    }
}

/// How long the whole answer is, once its head is there.
fn answer_length(received: &[u8]) -> Outcome<Option<usize>> {
    const LENGTH: &str = "\r\ncontent-length: ";
    let end = received.windows(4).position(|window| window == b"\r\n\r\n");
    let Some((end, head)) = end.and_then(|end| Some((end, received.get(..end)?))) else {
        return Ok(None);
    };
    let head = std::str::from_utf8(head)?;
    let (_, length) = head.split_once(LENGTH).ok_or("an answer of unknown length")?;
    let length: usize = length.split("\r\n").next().unwrap_or_default().parse()?;
    Ok(Some(end + 4 + length))
}

/// A device of its own for each number. Almost any 32 bytes are an X25519 public key.
fn registration(device: usize) -> String {
    let mut key = [0x5a; 32];
    key[..8].copy_from_slice(&device.to_be_bytes());
    let key = base64::engine::general_purpose::STANDARD.encode(key);
    format!(
        r#"{{"projectId":"bench","deviceId":"device-{device}","deviceName":"device-{device}","publicKey":"{key}","groups":["servers"]}}"#
    )
}
