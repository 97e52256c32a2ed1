//! A node asks for newer certificates.

use nebula_pki::Certificate;
use nebula_pki::key::PublicKey;

use super::renew_at;
use crate::Error;
use crate::service::context::Context;
use crate::service::core::Service;
use crate::service::enroll::command::Command;
use crate::service::enroll::renewal::Renewal;
use crate::service::enroll::step::Outcome;
use crate::service::update::Certified;
use crate::service::views::Desired;

/// What a node that asks for newer certificates has then.
#[derive(Debug, Clone)]
pub struct Renewed {
    /// Its certificates, the older version first.
    pub certificates: Vec<Certificate>,
    /// Whether they were issued just now.
    pub renewed: bool,
    /// When it should renew them, in seconds since the Unix epoch.
    pub renew_at: Option<i64>,
    /// Of what its bundle is.
    pub desired: Desired,
}

impl Service {
    /// Issues the caller's node newer certificates on the network's terms as they are now: once two
    /// thirds of the lifetime have passed, or for another key at any time. Before that it answers
    /// what the node has. Asking again is safe.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::KeyTaken`] where another node has the key,
    /// [`Error::KeyMismatch`] where this one may have no other, or not that one again,
    /// [`Error::RateLimited`] for another key every minute or more than ten a day,
    /// [`Error::NodeKeptOut`] and those of access.
    pub async fn renew(
        &self,
        context: Context,
        public_key: Option<PublicKey>,
    ) -> Result<Renewed, Error> {
        let device = self.own_device(&context).await?;
        let command = Command::Renewal(Renewal { device, public_key });
        let Outcome { network, node, certificates, revision, .. } =
            self.carry_out(context, command).await?.node()?;
        let (certificates, renewed) = match certificates {
            Certified::New(issued) => {
                self.watch.waiting().tell(network, node.id, node.generation);
                (issued.iter().map(|issued| issued.certificate().clone()).collect(), true)
            }
            Certified::Known(certificates) => (certificates, false),
        };
        Ok(Renewed {
            renew_at: renew_at(node.id, &certificates),
            certificates,
            renewed,
            desired: Desired { revision: revision.0, generation: node.generation.0 },
        })
    }
}
