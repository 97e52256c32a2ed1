//! Pools, blocks and reservations.

use hyper::Method;

use super::call::path;
use super::{Client, ClientError, List, Request, Tagged};
use crate::wire::{
    Addresses, Block, EndedQuarantine, NewBlockBody, NewPoolBody, NewReservationBody, Pool,
    PoolPatchBody, RenameBody, Reservation,
};

/// Where a network's addresses come from; with an operator key.
impl Client {
    /// Lists a network's pools and their usage: `GET /networks/{network}/pools`.
    #[must_use]
    pub fn list_pools(&self, network: &str) -> List<'_, Pool> {
        self.list(Request::get(&path(&["networks", network, "pools"])))
    }

    /// Lists what becomes of a network's addresses: `GET /networks/{network}/addresses`.
    #[must_use]
    pub fn list_addresses(&self, network: &str) -> List<'_, Addresses> {
        self.list(Request::get(&path(&["networks", network, "addresses"])))
    }

    /// Ends the quarantine of an address before its time: `DELETE
    /// /networks/{network}/quarantines/{address}`. `force` ends it although certificates that name the
    /// address may be accepted; `dry_run` only tells what would happen.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn end_quarantine(
        &self,
        network: &str,
        address: &str,
        (force, dry_run): (bool, bool),
    ) -> Result<EndedQuarantine, ClientError> {
        let path = path(&["networks", network, "quarantines", address]);
        let mut request = Request::new(Method::DELETE, &path);
        for (name, _) in [("force", force), ("dryRun", dry_run)].iter().filter(|(_, is)| *is) {
            request = request.query(name, "true");
        }
        self.send(request).await?.read_as()
    }

    /// Creates a pool: `POST /networks/{network}/pools`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn create_pool(&self, network: &str, new: &NewPoolBody) -> Result<Pool, ClientError> {
        self.create(&path(&["networks", network, "pools"]), new).await
    }

    /// Reads a pool and its usage: `GET /networks/{network}/pools/{pool}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn read_pool(&self, network: &str, pool: &str) -> Result<Tagged<Pool>, ClientError> {
        self.read_tagged(&path(&["networks", network, "pools", pool])).await
    }

    /// Changes a pool's range: `PATCH /networks/{network}/pools/{pool}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn resize_pool(
        &self,
        network: &str,
        pool: &str,
        change: &PoolPatchBody,
        if_match: Option<&str>,
    ) -> Result<Tagged<Pool>, ClientError> {
        let request = Request::new(Method::PATCH, &path(&["networks", network, "pools", pool]))
            .json(change)?;
        self.change(request, if_match).await
    }

    /// Deletes a pool without leases: `DELETE /networks/{network}/pools/{pool}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn delete_pool(
        &self,
        network: &str,
        pool: &str,
        if_match: Option<&str>,
    ) -> Result<(), ClientError> {
        self.delete(&path(&["networks", network, "pools", pool]), if_match).await
    }

    /// Lists a network's blocks: `GET /networks/{network}/blocks`.
    #[must_use]
    pub fn list_blocks(&self, network: &str) -> List<'_, Block> {
        self.list(Request::get(&path(&["networks", network, "blocks"])))
    }

    /// Creates a block: `POST /networks/{network}/blocks`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn create_block(
        &self,
        network: &str,
        new: &NewBlockBody,
    ) -> Result<Block, ClientError> {
        self.create(&path(&["networks", network, "blocks"]), new).await
    }

    /// Reads a block: `GET /networks/{network}/blocks/{block}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn read_block(&self, network: &str, block: &str) -> Result<Block, ClientError> {
        self.read(&path(&["networks", network, "blocks", block])).await
    }

    /// Renames a block: `PATCH /networks/{network}/blocks/{block}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn rename_block(
        &self,
        network: &str,
        block: &str,
        to: &RenameBody,
    ) -> Result<Block, ClientError> {
        let place = path(&["networks", network, "blocks", block]);
        self.send(Request::new(Method::PATCH, &place).json(to)?).await?.read_as()
    }

    /// Deletes a block without leases: `DELETE /networks/{network}/blocks/{block}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn delete_block(&self, network: &str, block: &str) -> Result<(), ClientError> {
        self.delete(&path(&["networks", network, "blocks", block]), None).await
    }

    /// Lists a network's reservations, by address: `GET /networks/{network}/reservations`.
    #[must_use]
    pub fn list_reservations(&self, network: &str) -> List<'_, Reservation> {
        self.list(Request::get(&path(&["networks", network, "reservations"])))
    }

    /// Reserves addresses: `POST /networks/{network}/reservations`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn create_reservation(
        &self,
        network: &str,
        new: &NewReservationBody,
    ) -> Result<Reservation, ClientError> {
        self.create(&path(&["networks", network, "reservations"]), new).await
    }

    /// Deletes a reservation: `DELETE /networks/{network}/reservations/{range}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn delete_reservation(&self, network: &str, range: &str) -> Result<(), ClientError> {
        self.delete(&path(&["networks", network, "reservations", range]), None).await
    }
}
