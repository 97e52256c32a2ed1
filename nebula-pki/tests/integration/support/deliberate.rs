//! Where the verdict is deliberately not the reference's, and why.

/// Cases of the vectors.
pub(crate) const REFUSED: [(&str, &str); 6] = [
    ("v2-25519-seedflip", "the seed does not belong to the public half: nothing would verify"),
    ("v2-25519-zero", "a point of small order: everybody knows the shared secret"),
    ("v2-p256-zero", "not a point: nobody could agree on a secret with it"),
    ("v2-p256-rand", "not a point: nobody could agree on a secret with it"),
    ("v2-p256-offcurve", "not a point of the curve: agreeing with it gives away the other key"),
    ("v2-p256-hybrid", "a form of point that no node takes"),
];

/// Recorded command lines, which have no ids: how many, how ours begins its refusal, and why.
pub(crate) const REFUSED_COMMANDS: (usize, &str, &str) = (
    3,
    "Error: error while signing: name must have 1 to 253 bytes, not ",
    "nobody could read the certificate in version 2",
);

/// Generated cases that `CaPool::from_pem` loads, where `CaPool::add` and the reference do not.
pub(crate) const LOADED: (&str, &str) =
    ("odd CA key", "a batch cannot tell a component of small order, which only the owner can add");
