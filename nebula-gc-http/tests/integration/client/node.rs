//! A node's life with the client: enrolling, waiting, fetching, renewing, reporting and rotating.

use std::net::SocketAddr;
use std::time::Duration;

use nebula_gc_http::client::{ArchiveFormat, Client, ClientError, new_node_token};
use nebula_gc_http::wire::{Desired, EnrollmentBody, Renewal, Report};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::native::{Plane, text};
use crate::support::requests::{self, new_key};

on_both_engines! {
    a_node_lives_with_the_typed_calls
    a_rotation_whose_answer_is_lost_has_happened
}

/// Serves the plane's API.
pub async fn serve(plane: &Plane) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = nebula_gc_http::server::Server::new(listener, plane.router.clone());
    tokio::spawn(server.run(std::future::pending()));
    address
}

pub fn client(address: SocketAddr, key: &str) -> Client {
    Client::new(&format!("http://{address}")).unwrap().with_key(key)
}

/// What a new node sends.
fn device(name: &str) -> EnrollmentBody {
    EnrollmentBody {
        name: name.to_owned(),
        public_key: new_key().to_pem(),
        node_token: new_node_token().unwrap(),
        ..EnrollmentBody::default()
    }
}

async fn a_node_lives_with_the_typed_calls(plane: Plane) {
    requests::make_demo(&plane.service, "10.1.0.0/16").await;
    let address = serve(&plane).await;
    let token = plane.post("/networks/demo/join-tokens", &json!({"name": "t"})).await.expect(201);
    let device = device("one");
    let joining = client(address, &text(&token, "secret"));
    let enrolled = joining.enroll_node(&device).await.unwrap().enrolled().unwrap();
    assert_eq!(enrolled.addresses, ["10.1.0.1/16"]);
    // Asking again is safe.
    let again = joining.enroll_node(&device).await.unwrap();
    assert_eq!(again.enrolled().unwrap(), enrolled);

    let client = client(address, device.node_token.expose());
    let own = client.read_own_node().await.unwrap();
    assert_eq!((&own.id, own.state.as_str()), (&enrolled.node, "active"));
    let has = Desired { revision: enrolled.revision, generation: enrolled.generation };
    assert_eq!(client.watch_own_node(has, Duration::ZERO).await.unwrap(), None);
    let now = client.watch_own_node(Desired::default(), Duration::from_secs(60)).await.unwrap();
    assert_eq!(now, Some(has));

    for format in [ArchiveFormat::Zip, ArchiveFormat::TarGz] {
        let fetched = client.fetch_own_bundle(format, None).await.unwrap().unwrap();
        assert_eq!((fetched.revision, fetched.generation), (has.revision, has.generation));
        assert_eq!(fetched.digest, enrolled.bundle.digest);
        let again = client.fetch_own_bundle(format, Some(&fetched.etag)).await.unwrap();
        assert_eq!(again, None);
        let (begins, media): (&[u8], _) = match format {
            ArchiveFormat::Zip => (b"PK\x03\x04", "zip"),
            ArchiveFormat::TarGz => (b"\x1f\x8b", "tar.gz"),
        };
        assert!(fetched.archive.starts_with(begins), "{media}");
    }

    assert!(!client.renew_own_certificates(&Renewal::default()).await.unwrap().renewed);
    let key = Renewal { public_key: Some(new_key().to_pem()) };
    let renewed = client.renew_own_certificates(&key).await.unwrap();
    assert!(renewed.renewed && renewed.generation > has.generation);

    let report =
        Report { revision: renewed.revision, generation: renewed.generation, ..Report::default() };
    client.report_own_node(&report).await.unwrap();
    let applied = client.read_own_node().await.unwrap().applied.unwrap();
    assert_eq!(applied.generation, renewed.generation);

    let next = new_node_token().unwrap();
    client.rotate_own_token(&next).await.unwrap();
    let refused = client.read_own_node().await.unwrap_err();
    assert_eq!(refused.problem().unwrap().code, "unauthorized");
    super::node::client(address, next.expose()).read_own_node().await.unwrap();
}

/// Passes requests on, and cuts the connection instead of the first answer.
async fn losing_an_answer(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut from, _) = listener.accept().await.unwrap();
        let mut to = TcpStream::connect(server).await.unwrap();
        let mut part = vec![0; 1 << 16];
        let count = from.read(&mut part).await.unwrap();
        to.write_all(&part[..count]).await.unwrap();
        let _ = to.read(&mut part).await.unwrap();
        drop(from);
        loop {
            let (mut from, _) = listener.accept().await.unwrap();
            let mut to = TcpStream::connect(server).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
        }
    });
    address
}

async fn a_rotation_whose_answer_is_lost_has_happened(plane: Plane) {
    requests::make_demo(&plane.service, "10.1.0.0/16").await;
    let address = serve(&plane).await;
    let device = device("one");
    let asked = EnrollmentBody { network: Some("demo".to_owned()), ..device.clone() };
    client(address, &plane.key).enroll_node(&asked).await.unwrap();
    let next = new_node_token().unwrap();
    let losing = client(losing_an_answer(address).await, device.node_token.expose());
    losing.rotate_own_token(&next).await.unwrap();
    client(address, next.expose()).read_own_node().await.unwrap();
    // The old one says that it is no more; nothing is rotated back.
    let refused = client(address, device.node_token.expose()).rotate_own_token(&next).await;
    assert!(matches!(refused, Err(ClientError::Refused { .. })), "{refused:?}");
}
