//! The values that errors carry: fields, kinds of keys, and reasons.

use std::fmt;

/// An enum whose variants are documented and displayed by their texts.
macro_rules! named {
    ($(#[doc = $about:literal])+ $name:ident { $($variant:ident = $text:literal,)+ }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`")] $variant,)+
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $text,)+
                })
            }
        }
    };
}

named! {
    /// What was expected in a PEM block.
    PemContents {
        Certificate = "a certificate",
        SigningKey = "a CA's private key",
        EncryptedSigningKey = "a CA's encrypted private key",
        AgreementKey = "a host's private key",
        PublicKey = "a host's public key",
    }
}

named! {
    /// What is wrong with the encoding of a certificate; the name of a field where that is missing or
    /// malformed.
    CertificateDefect {
        Empty = "no bytes",
        TooLong = "longer than 65536 bytes",
        WireFormat = "invalid protobuf wire format",
        NoDetails = "details are missing",
        NotUtf8 = "name or group is not UTF-8",
        OddNetworks = "odd number of integers in networks",
        OddUnsafeNetworks = "odd number of integers in unsafe networks",
        NotCanonical = "not in the form in which it is signed",
        Certificate = "certificate",
        Details = "details",
        Name = "name",
        Networks = "networks",
        UnsafeNetworks = "unsafe networks",
        Network = "network",
        Groups = "groups",
        CaFlag = "CA flag",
        NotBefore = "not before",
        NotAfter = "not after",
        Time = "time",
        Issuer = "issuer",
        Curve = "curve",
        PublicKey = "public key",
        Signature = "signature",
    }
}

named! {
    /// One of the two lists of networks in a certificate.
    NetworkList {
        Networks = "networks",
        UnsafeNetworks = "unsafe_networks",
    }
}

named! {
    /// Why nodes refuse two certificates in one file: the version is the same, or something else
    /// differs.
    PairDefect {
        Version = "version",
        PublicKey = "public key",
        Curve = "curve",
        FirstNetwork = "first network",
    }
}

named! {
    /// A kind of key.
    KeyKind {
        Ed25519Private = "Ed25519 private key",
        EcdsaPrivate = "ECDSA P256 private key",
        X25519Private = "X25519 private key",
        P256Private = "P256 private key",
        X25519Public = "X25519 public key",
        P256Public = "P256 public key",
    }
}

named! {
    /// What is wrong with the contents of an encrypted key.
    EncryptedKeyDefect {
        Empty = "no bytes",
        WireFormat = "invalid protobuf wire format",
        NoMetadata = "encryption metadata is missing",
        NoArgon2 = "Argon2 parameters are missing",
        AlgorithmNotUtf8 = "algorithm is not UTF-8",
    }
}

named! {
    /// A parameter of Argon2.
    Argon2Field {
        Memory = "memory_kib",
        Iterations = "iterations",
        Parallelism = "parallelism",
        Work = "memory_kib × iterations",
    }
}

named! {
    /// What is wrong with an attribute of a PKCS#11 URI.
    UriDefect {
        Scheme = "the URI does not begin with it",
        Unknown = "unknown attribute",
        Repeated = "given more than once",
        Missing = "missing",
        NoLocation = "missing; give module-path or module-name",
        NotUtf8 = "not UTF-8",
        NotNumber = "not a number",
        NotVersion = "not a version such as 2.6",
        NotKeyPair = "must be private or public",
        NotAbsolute = "not an absolute path",
        NameIsPath = "a path; use module-path",
        Program = "programs are not run; name a file",
        PinTwice = "pin-value is given too",
        UnknownAfterPin = "followed by an unknown attribute; write & in a PIN as %26",
        Empty = "empty value",
        Escape = "% without two hexadecimal digits",
        Character = "holds a character that must be written as %XX",
    }
}

named! {
    /// Why a key in a token cannot sign certificates.
    TokenKeyDefect {
        NotElliptic = "not an elliptic-curve key",
        OtherCurve = "its curve is neither P256 nor Ed25519",
        NoEddsa = "its token does not sign with EdDSA",
        NoEcdsa = "its token does not sign with ECDSA",
        NoPublicKey = "no public key object with its id and label",
        HiddenPublicKey = "the token does not reveal its public key",
        PointNotOnCurve = "its public key is not a point of its curve",
        OtherPublicKey = "its public key belongs to another key",
    }
}
