//! A way to the server on which somebody sits.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

/// What happens to requests whose path has this in it.
#[derive(Clone)]
pub(super) enum Evil {
    /// They are never answered.
    Silence(&'static str),
    /// They get an answer of gigabytes.
    Flood(&'static str),
    /// They get this answer at once.
    Answer(&'static str, String),
}

/// Passes on what it is asked, but for what is evil.
#[derive(Clone, Default)]
pub(super) struct Proxy {
    evil: Arc<Mutex<Option<Evil>>>,
    /// How many requests there were, and how many of them were met with evil.
    asked: Arc<AtomicUsize>,
    met: Arc<AtomicUsize>,
    /// How many bytes of floods were taken.
    taken: Arc<AtomicU64>,
}

impl Proxy {
    /// Begins to pass on to this server; the URL to ask.
    pub(super) fn start(&self, server: &str) -> String {
        let server = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let proxy = self.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (proxy, server) = (proxy.clone(), server.clone());
                // Who hangs up is done.
                thread::spawn(move || proxy.serve(client, &server));
            }
        });
        url
    }

    pub(super) fn becomes(&self, evil: Option<Evil>) {
        *self.evil.lock().unwrap() = evil;
        for count in [&self.asked, &self.met] {
            count.store(0, SeqCst);
        }
        self.taken.store(0, SeqCst);
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    pub(super) fn met(&self) -> usize {
        self.met.load(SeqCst)
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken.load(SeqCst)
    }

    /// One request of one connection, which is closed then.
    fn serve(&self, mut client: TcpStream, server: &str) -> Option<()> {
        let (head, body) = request(&mut client)?;
        self.asked.fetch_add(1, SeqCst);
        let path = head.split(' ').nth(1)?.to_owned();
        let evil = self.evil.lock().unwrap().clone();
        match evil {
            Some(Evil::Silence(at)) if path.contains(at) => {
                self.met.fetch_add(1, SeqCst);
                let _ = client.read(&mut [0; 1]);
            }
            Some(Evil::Flood(at)) if path.contains(at) => {
                self.met.fetch_add(1, SeqCst);
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/gzip\r\n\
                    Content-Length: 8589934592\r\n\r\n";
                client.write_all(head.as_bytes()).ok()?;
                while let Ok(written) = client.write(&[0; 65_536]) {
                    self.taken.fetch_add(u64::try_from(written).unwrap(), SeqCst);
                }
            }
            Some(Evil::Answer(at, body)) if path.contains(at) => {
                self.met.fetch_add(1, SeqCst);
                let length = body.len();
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
                let answer = format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}");
                client.write_all(answer.as_bytes()).ok()?;
            }
            _ => {
                let mut to = TcpStream::connect(server).ok()?;
                // A connection for each.
                let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
                to.write_all(head.as_bytes()).ok()?;
                to.write_all(&body).ok()?;
                std::io::copy(&mut to, &mut client).ok()?;
            }
        }
        Some(())
    }
}

/// Head and body of a request.
fn request(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut head, mut byte) = (vec![], [0]);
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head.to_ascii_lowercase();
    let length = length.lines().find_map(|line| line.strip_prefix("content-length:"));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    client.read_exact(&mut body).ok()?;
    Some((head, body))
}
