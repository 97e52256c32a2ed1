//! Lists of networks and groups as flags give them.

use std::net::IpAddr;

use ipnet::IpNet;

/// The networks of a comma separated list.
///
/// # Errors
///
/// The first entry that is not a network.
pub(crate) fn parse(list: &str) -> Result<Vec<IpNet>, &str> {
    entries(list).map(|entry| prefix(entry).ok_or(entry)).collect()
}

/// The entries of a comma separated list, without the blanks around them and the empty ones.
pub(crate) fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(|entry| entry.trim_matches(' ')).filter(|entry| !entry.is_empty())
}

/// The groups of a comma separated list, trimmed, without the empty ones.
pub(crate) fn groups(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|group| !group.is_empty()).map(str::to_owned).collect()
}

/// A network as Go's `netip.ParsePrefix` reads it.
pub(crate) fn prefix(text: &str) -> Option<IpNet> {
    let (address, length) = text.rsplit_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    // `parse` would take a sign and leading zeros.
    let plain = length.bytes().all(|byte| byte.is_ascii_digit())
        && (length.len() == 1 || !length.starts_with('0'));
    if !plain {
        return None;
    }
    IpNet::new(address, length.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let networks = parse(" 10.1.2.3/24,, ::1/0 ,").unwrap();
        assert_eq!(networks, ["10.1.2.3/24".parse().unwrap(), "::1/0".parse().unwrap()]);
        assert_eq!(groups(" a b ,,\tc,a"), ["a b", "c", "a"]);
        for bad in [
            "10.1.1.1",
            "10.1.1.1/33",
            "10.1.1.1/024",
            "10.1.1.1/+8",
            "10.1.1.1/",
            "10.01.1.1/8",
            "10.1.1/8",
            "fe80::1%eth0/64",
            "::1/129",
            "/8",
            "10.1.1.1/8/8",
            "1.2.3.4/00",
            "\t10.1.1.1/8",
        ] {
            assert_eq!(parse(bad), Err(bad), "{bad}");
        }
    }
}
