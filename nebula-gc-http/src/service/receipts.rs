//! Giving receipts with bundles, and judging those that come back.

use nebula_pki::Fingerprint;

use super::shared::Shared;
use super::views::{Desired, View};
use crate::Error;
use crate::error::Unavailable;
use crate::receipt::{Position, Receipt, Statement};
use crate::store::node::Node;
use crate::store::report::ReceiptStanding;

impl Shared {
    /// The receipt of a bundle: what it was rendered from, as text.
    pub(super) fn receipt(
        &self,
        view: &View,
        node: &Node,
        certificates: Vec<Fingerprint>,
    ) -> Result<String, Error> {
        let store = self.store.get().ok_or(Unavailable::Missing { what: "the store's id" })?;
        let Desired { revision, generation } =
            Desired { revision: view.revision.0, generation: node.generation.0 };
        let statement = Statement {
            key_id: self.secrets.receipt_key()?,
            store: store.id,
            network: *node.network.as_bytes(),
            node: *node.id.as_bytes(),
            position: Position { epoch: store.epoch, revision, generation },
            time: self.now(),
            certificates,
            cas: view.cas,
            blocklist: view.blocklist,
        };
        let mac = self.secrets.prove(statement.key_id, &statement.to_bytes())?;
        Ok(statement.proved_by(mac).to_string())
    }

    /// What a node's receipt is worth, and the key that proved it.
    pub(super) fn judge(&self, text: &str, node: &Node) -> (ReceiptStanding, Option<i64>) {
        let Ok(receipt) = text.parse::<Receipt>() else { return (ReceiptStanding::Refused, None) };
        let Receipt { statement, .. } = &receipt;
        let proved = self.secrets.is_proved(statement.key_id, &statement.to_bytes(), receipt.mac());
        let is_ours = self.store.get().is_some_and(|store| store.id == statement.store)
            && statement.network == *node.network.as_bytes()
            && statement.node == *node.id.as_bytes();
        match proved {
            Some(true) if is_ours => (ReceiptStanding::Believed, Some(statement.key_id)),
            Some(_) => (ReceiptStanding::Refused, None),
            None => (ReceiptStanding::UnknownKey, None),
        }
    }
}
