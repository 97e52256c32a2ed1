//! Networks, their CAs, their blocklist, and importing hosts.

use hyper::Method;

use super::call::{matching, path, tagged};
use super::{Client, ClientError, List, Request, Tagged};
use crate::wire::{
    ActiveCa, BlockReport, Blocked, Ca, DeletedNetwork, ImportBody, ImportReport, Network,
    NetworkPatchBody, NewBlockedBody, NewCa, NewNetworkBody, RetireBody,
};

/// Networks, by name or id; with an operator key.
impl Client {
    /// Lists the networks that the credential sees: `GET /networks`.
    #[must_use]
    pub fn list_networks(&self) -> List<'_, Network> {
        self.list(Request::get(&path(&["networks"])))
    }

    /// Creates a network with its CA and pools: `POST /networks`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn create_network(&self, new: &NewNetworkBody) -> Result<Network, ClientError> {
        self.create(&path(&["networks"]), new).await
    }

    /// Reads a network: `GET /networks/{network}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn read_network(&self, network: &str) -> Result<Tagged<Network>, ClientError> {
        self.read_tagged(&path(&["networks", network])).await
    }

    /// Changes a network's settings: `PATCH /networks/{network}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn change_network(
        &self,
        network: &str,
        change: &NetworkPatchBody,
        if_match: Option<&str>,
    ) -> Result<Tagged<Network>, ClientError> {
        let request = Request::new(Method::PATCH, &path(&["networks", network])).json(change)?;
        self.change(request, if_match).await
    }

    /// Deletes a network with all that it has, for good: `DELETE /networks/{network}`. `force` deletes it although
    /// nodes are active; `dry_run` only tells what would happen.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn delete_network(
        &self,
        network: &str,
        (force, dry_run): (bool, bool),
        if_match: Option<&str>,
    ) -> Result<DeletedNetwork, ClientError> {
        let is = |set: bool| set.then_some("true");
        let request = Request::delete(&path(&["networks", network]))
            .filtered(&[("force", is(force)), ("dryRun", is(dry_run))]);
        self.send(matching(request, if_match)?).await?.read_as()
    }

    /// Makes the current certificates of all nodes of a network due for renewal: `POST
    /// /networks/{network}/renew`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn renew_certificates(&self, network: &str) -> Result<Tagged<Network>, ClientError> {
        let request = Request::new(Method::POST, &path(&["networks", network, "renew"]));
        tagged(&self.send(request).await?)
    }

    /// Reads the certificates of the CAs that a network trusts, as PEM: `GET /networks/{network}/ca`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn read_network_ca(&self, network: &str) -> Result<String, ClientError> {
        let answer = self.send(Request::get(&path(&["networks", network, "ca"]))).await?;
        answer.body_text()
    }

    /// Lists a network's CAs, including retired ones, oldest first: `GET /networks/{network}/cas`.
    #[must_use]
    pub fn list_cas(&self, network: &str) -> List<'_, Ca> {
        self.list(Request::get(&path(&["networks", network, "cas"])))
    }

    /// Adds a CA that signs for a network from now on: `POST /networks/{network}/cas`. Not repeated
    /// where the answer is lost: the list of CAs says whether it was added.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn add_ca(&self, network: &str, ca: &NewCa) -> Result<ActiveCa, ClientError> {
        let request = Request::new(Method::POST, &path(&["networks", network, "cas"])).json(ca)?;
        self.send(request).await?.read_as()
    }

    /// Reads a CA: `GET /networks/{network}/cas/{ca}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn read_ca(&self, network: &str, ca: &str) -> Result<Ca, ClientError> {
        self.read(&path(&["networks", network, "cas", ca])).await
    }

    /// Removes a CA from all bundles, permanently: `POST /networks/{network}/cas/{ca}/retire`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn retire_ca(
        &self,
        network: &str,
        ca: &str,
        how: &RetireBody,
    ) -> Result<Ca, ClientError> {
        let request =
            Request::new(Method::POST, &path(&["networks", network, "cas", ca, "retire"]))
                .json(how)?;
        self.send(request.repeatable()).await?.read_as()
    }

    /// Imports the hosts of a running network: `POST /networks/{network}/import`. Thousands of hosts
    /// take longer than a minute: see [`Client::with_patience`].
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn import_hosts(
        &self,
        network: &str,
        hosts: &ImportBody,
    ) -> Result<ImportReport, ClientError> {
        let request =
            Request::new(Method::POST, &path(&["networks", network, "import"])).json(hosts)?;
        self.send(request.repeatable()).await?.read_as()
    }

    /// Lists the certificates that a network's bundles block: `GET /networks/{network}/blocklist`.
    #[must_use]
    pub fn list_blocklist(&self, network: &str) -> List<'_, Blocked> {
        self.list(Request::get(&path(&["networks", network, "blocklist"])))
    }

    /// Blocks certificates that were issued elsewhere, permanently: `POST
    /// /networks/{network}/blocklist`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn add_to_blocklist(
        &self,
        network: &str,
        certificates: &NewBlockedBody,
    ) -> Result<BlockReport, ClientError> {
        let request = Request::new(Method::POST, &path(&["networks", network, "blocklist"]))
            .json(certificates)?;
        self.send(request.repeatable()).await?.read_as()
    }
}
