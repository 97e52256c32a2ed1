//! A network of nodes on either engine, as its operators and its time see it.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use nebula_gc_http::{
    Context, DeviceId, Enrolled, Enrollment, Error, Expected, NodeChange, NodeDetails, NodeId,
    Options, ServerSecrets, Signers, StateReason, Unapplied, Upkeep, Violation, verify,
};

use super::requests::{self, make_demo};
pub use super::requests::{START, demo, groups, new_key};
use super::{Engine, Fixture, Place, Server, server};

pub struct Fleet(Server);

impl Deref for Fleet {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.0
    }
}

/// A node and what it enrolled with.
pub struct Member {
    pub id: NodeId,
    pub request: Enrollment,
    pub enrolled: Enrolled,
}

impl Member {
    pub fn caller(&self) -> Context {
        Context::bearer(self.request.token.clone())
    }
}

impl Fixture for Fleet {
    /// One with the network `demo`; nothing where the engine is missing.
    async fn on(engine: Engine) -> Option<Self> {
        let server = Server::start(Place::on(engine)?, START);
        make_demo(&server.service, "10.1.0.0/24").await;
        Some(Self(server))
    }
}

impl Fleet {
    /// The same after its server was stopped and started with other secrets.
    pub fn restarted(self, change: impl FnOnce(ServerSecrets) -> ServerSecrets) -> Self {
        self.again(|_, _, secrets| change(secrets))
    }

    /// The same after its server was stopped, its clock put back by so many seconds, and the clock
    /// confirmed where the last event is later by more than is believed.
    pub fn put_back(self, seconds: i64) -> Self {
        self.again(|place, clock, secrets| {
            let at = clock.fetch_sub(seconds, Ordering::Relaxed) - seconds;
            if place.number("SELECT at FROM alloc_event ORDER BY id DESC LIMIT 1") > at + 3_600 {
                place.confirm_clock(at);
            }
            secrets
        })
    }

    fn again(
        self,
        meanwhile: impl FnOnce(&Place, &AtomicI64, ServerSecrets) -> ServerSecrets,
    ) -> Self {
        let Server { service, secrets, clock, place } = self.0;
        assert_eq!(Arc::strong_count(&service), 1);
        drop(service);
        let secrets = meanwhile(&place, &clock, secrets);
        let service = server::instance(&place, &secrets, Signers::default(), &clock, |_| Ok(()));
        Self(Server { service, secrets, clock, place })
    }

    /// The same, that forgets what has been over for so many seconds.
    pub fn forgetting(self, seconds: i64) -> Self {
        self.with_options(|options| options.keep_history = Some(seconds))
    }

    /// The same with other options.
    pub fn with_options(mut self, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::default();
        change(&mut options);
        let service = Arc::into_inner(self.0.service).unwrap().with_options(options);
        self.0.service = Arc::new(service);
        self
    }

    pub fn is_shared(&self) -> bool {
        self.place.is_shared()
    }

    /// Which rules don't hold.
    pub fn violations(&self) -> Vec<Violation> {
        let now = self.now();
        self.place.read(|tx| verify(tx, now))
    }

    pub async fn enroll(&self, name: &str) -> Member {
        self.enroll_as(enrollment(name)).await.unwrap()
    }

    pub async fn enroll_as(&self, request: Enrollment) -> Result<Member, Error> {
        let asked = request.clone();
        let enrolled = self.service.enroll(Context::local(), asked).await?;
        Ok(Member { id: enrolled.node, request, enrolled })
    }

    pub async fn node(&self, member: &Member) -> NodeDetails {
        self.service.node(Context::local(), demo(), member.id).await.unwrap()
    }

    /// The network's revision.
    pub async fn revision(&self) -> i64 {
        self.unapplied(1).await.current
    }

    pub async fn unapplied(&self, revision: i64) -> Unapplied {
        self.service.unapplied(Context::local(), demo(), revision, None, 100).await.unwrap()
    }

    /// Fingerprints that bundles block.
    pub async fn blocked(&self) -> Vec<String> {
        let list = self.service.blocklist(Context::local(), demo(), None, 100).await.unwrap();
        list.iter().map(|entry| entry.fingerprint.to_string()).collect()
    }

    /// Lets a node report what there is.
    pub async fn report(&self, member: &Member) {
        let desired = self.service.own_node(member.caller()).await.unwrap().desired;
        self.service.report(member.caller(), desired).await.unwrap();
    }

    pub async fn release(&self, member: &Member) -> Result<NodeDetails, Error> {
        let about = (demo(), member.id);
        self.service.release_node(Context::local(), about, Expected::Anything).await
    }

    pub async fn suspend(&self, member: &Member, reason: &str) -> Result<NodeDetails, Error> {
        let (about, reason) = ((demo(), member.id), StateReason::new(reason).unwrap());
        self.service.suspend_node(Context::local(), about, Expected::Anything, reason).await
    }

    pub async fn revoke(&self, member: &Member, reason: &str) -> Result<NodeDetails, Error> {
        let (about, reason) = ((demo(), member.id), StateReason::new(reason).unwrap());
        self.service.revoke_node(Context::local(), about, Expected::Anything, reason).await
    }

    pub async fn reinstate(&self, member: &Member) -> Result<NodeDetails, Error> {
        let about = (demo(), member.id);
        self.service.reinstate_node(Context::local(), about, Expected::Anything).await
    }

    pub async fn change(&self, member: &Member, to: NodeChange) -> Result<NodeDetails, Error> {
        let about = (demo(), member.id);
        self.service.change_node(Context::local(), about, Expected::Anything, to).await
    }

    /// One pass.
    pub async fn upkeep(&self) -> Upkeep {
        self.service.upkeep().await.unwrap().unwrap()
    }
}

/// Of a device in two groups, under its name as its id.
pub fn enrollment(name: &str) -> Enrollment {
    let device = Some(DeviceId::new(name).unwrap());
    Enrollment { device, groups: Some(groups(&["a", "b"])), ..requests::enrollment(name) }
}
