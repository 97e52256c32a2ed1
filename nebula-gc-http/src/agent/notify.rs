//! Tells systemd how the agent is (`sd_notify`), where it asks for that.

use std::ffi::OsString;
use std::os::unix::net::UnixDatagram;

/// The service manager that started this program, if it wants to be told.
pub(super) struct Notify {
    socket: Option<(UnixDatagram, OsString)>,
}

impl Notify {
    /// As the environment says.
    pub(super) fn of_environment() -> Self {
        let path = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty());
        let socket = path.and_then(|path| Some((UnixDatagram::unbound().ok()?, path)));
        Self { socket }
    }

    pub(super) fn ready(&self) {
        self.send("READY=1");
    }

    /// The watchdog restarts an agent that does not say so for as long as its unit says.
    pub(super) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    pub(super) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// A manager that can't be told is no reason to end.
    fn send(&self, text: &str) {
        let Some((socket, path)) = &self.socket else { return };
        let _ = match abstract_name(path) {
            #[cfg(target_os = "linux")]
            Some(name) => {
                use std::os::linux::net::SocketAddrExt as _;
                std::os::unix::net::SocketAddr::from_abstract_name(name)
                    .and_then(|address| socket.send_to_addr(text.as_bytes(), &address))
            }
            _ => socket.send_to(text.as_bytes(), path),
        };
    }
}

/// A name that begins with @ is no path.
fn abstract_name(path: &OsString) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt as _;
    path.as_bytes().strip_prefix(b"@").map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_manager_is_told_at_its_socket() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notify =
            Notify { socket: Some((UnixDatagram::unbound().unwrap(), path.into_os_string())) };
        notify.ready();
        let mut text = [0; 64];
        let length = manager.recv(&mut text).unwrap();
        assert_eq!(&text[..length], b"READY=1");
        drop(manager);
        notify.alive();
        Notify { socket: None }.stopping();
    }
}
