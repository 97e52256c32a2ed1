//! What is wrong with a setting.

use std::net::SocketAddr;

use crate::error::messages::messages;

messages! {
    /// What to change about a setting.
    enum SettingFault {
        ["must not be empty"]
        Empty,
        ["must be true or false"]
        NotSwitch,
        ["must be a whole number"]
        NotNumber,
        ["must be a whole number from {least} to {most}"]
        OutOfRange { least: u64, most: u64 },
        ["must be a whole number of seconds"]
        NotSeconds,
        ["must be a string in quotation marks"]
        NotText,
        ["must be an address with a port, such as 127.0.0.1:8080 or [::]:443"]
        NotSocketAddress,
        ["must be a URL such as https://nebula.example.org"]
        NotUrl,
        ["must name an address that devices can reach, not the wildcard address"]
        Wildcard,
        ["{text:?}: must be an origin as browsers send it, as https://panel.example.org"]
        NotOrigin { text: String },
        ["requires {missing} as well"]
        Incomplete { missing: &'static str },
        ["{listen} is reachable from other machines, and plain HTTP exposes keys and tokens: set \
         tls-certificate and tls-key, or listen on 127.0.0.1 behind an HTTPS proxy, or set \
         --allow-plain-http if the network itself is private"]
        PlainHttp { listen: SocketAddr },
        ["unknown setting"]
        Unknown,
        ["must be tables, as [signers.hsm]"]
        NotSigners,
        ["must be a table"]
        NotTable,
        ["must be a list of strings"]
        NotList,
        ["must be a list of strings, the program first"]
        NoProgram,
        ["must be a URI in quotation marks that begins with pkcs11:"]
        NotPkcs11,
        ["must be a list of tenant ids or \"default\""]
        NotTenants,
        ["unknown key; allowed: command, time, pkcs11, tenants"]
        UnknownSignerKey,
        ["is only allowed with command"]
        TimeWithoutCommand,
        ["must have either command or pkcs11, not both"]
        TwoSources,
        ["must have command or pkcs11"]
        NoSource,
        ["{0}"]
        Signer(Box<crate::Error>),
        ["{words}"]
        Syntax {
            /// Where in the file, in bytes.
            offset: usize,
            words: String
        },
    }
}
