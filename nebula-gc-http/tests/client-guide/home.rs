// What the examples of the client's guide run against; included by each of them.

/// A server with the network `home`.
struct Home {
    url: String,
    operator_key: String,
    link: String,
    _directory: tempfile::TempDir,
}

async fn home() -> Result<Home, Box<dyn std::error::Error>> {
    use nebula_gc_http::server::{DataDirectory, Server};
    use nebula_gc_http::{AddPool, Context, NetworkRef, api};

    let directory = tempfile::tempdir()?;
    let data = DataDirectory::open(directory.path().join("data"))?;
    let service = std::sync::Arc::new(data.start()?);
    let network = Some(NetworkRef::new("home")?);
    let pool = AddPool { network, prefix: "10.42.0.0/16".parse()?, version: None };
    service.add_pool(Context::local(), pool).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(Server::new(listener, api::router(service)).run(std::future::pending()));

    let operator_key = std::fs::read_to_string(data.operator_key())?.trim().to_owned();
    let client = nebula_gc_http::client::Client::new(&url)?.with_key(&operator_key);
    let new = nebula_gc_http::wire::NewJoinTokenBody { name: "doc".to_owned(), ..Default::default() };
    let token = client.create_join_token("home", &new).await?;
    let link = token.link.ok_or("no link")?.expose().to_owned();
    Ok(Home { url, operator_key, link, _directory: directory })
}

/// A device that has joined `home`, as its client and with its bundle's counters.
#[allow(dead_code)]
async fn joined(
    home: &Home,
) -> Result<
    (nebula_gc_http::client::Client, nebula_gc_http::wire::Enrolled),
    Box<dyn std::error::Error>,
> {
    use nebula_gc_http::client::{Client, JoinLink, new_node_token};
    use nebula_pki::key::AgreementKey;
    use nebula_pki::{Curve, SystemRandom};

    let key = AgreementKey::generate(Curve::Curve25519, &mut SystemRandom)?;
    let device = nebula_gc_http::wire::EnrollmentBody {
        name: "laptop".to_owned(),
        public_key: key.public_key().to_pem(),
        node_token: new_node_token()?,
        ..Default::default()
    };
    let link = JoinLink::parse(&home.link)?;
    let answer = Client::new(&link.server)?.with_key(&link.token).enroll_node(&device).await?;
    let enrolled = answer.enrolled().ok_or("an operator has to approve this device")?;
    let client = Client::new(&link.server)?.with_key(device.node_token.expose());
    Ok((client, enrolled))
}
