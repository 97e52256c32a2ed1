//! Passphrases, from the environment or a terminal.

use std::env;
use std::io::{self, Write};

use zeroize::Zeroizing;

use crate::failure::Failure;

/// The passphrase of the CA key, used as it is; empty counts as unset.
pub(crate) const VARIABLE: &str = "NEBULA_CA_PASSPHRASE";

/// The passphrase that a key is to get instead.
pub(crate) const NEW_VARIABLE: &str = "NEBULA_CA_NEW_PASSPHRASE";

pub(crate) const PROMPT: &str = "Enter passphrase: ";

/// The reference's messages where there is no passphrase.
pub(crate) struct Wording {
    /// Standard input is not a terminal.
    pub(crate) no_terminal: &'static str,
    /// The terminal cannot be read; the reason follows.
    pub(crate) unreadable: &'static str,
    /// Nothing was entered, five times.
    pub(crate) empty: &'static str,
}

/// Takes the passphrase from the variable, else asks for it up to five times.
pub(crate) fn obtain(
    variable: &str,
    prompt: &str,
    wording: &Wording,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    from_environment(variable).map_or_else(|| ask(prompt, wording), Ok)
}

/// The passphrase in the variable, if there is one.
pub(crate) fn from_environment(variable: &str) -> Option<Zeroizing<Vec<u8>>> {
    let value = env::var_os(variable).filter(|value| !value.is_empty())?;
    Some(Zeroizing::new(value.into_encoded_bytes()))
}

/// Asks for a passphrase up to five times.
pub(crate) fn ask(prompt: &str, wording: &Wording) -> Result<Zeroizing<Vec<u8>>, Failure> {
    for _ in 0..5 {
        say(prompt);
        let entered = terminal::read_line()
            .ok_or_else(|| Failure::new("no_terminal", wording.no_terminal))?;
        say("\n");
        let entered = entered.map_err(|error| {
            let reason = match error.kind() {
                io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
                _ => error.to_string(),
            };
            Failure::new("no_passphrase", format!("{}: {reason}", wording.unreadable))
        })?;
        if !entered.is_empty() {
            return Ok(entered);
        }
    }
    Err(Failure::new("no_passphrase", wording.empty))
}

fn say(text: &str) {
    // Who cannot see the prompt can still answer it.
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(unix)]
mod terminal {
    use std::io::{self, ErrorKind, IsTerminal};
    use std::sync::{Mutex, MutexGuard, Once, PoisonError};
    use std::thread;

    use rustix::termios::{InputModes, LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
    use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;
    use zeroize::Zeroizing;

    /// The longest line that a terminal gives.
    const MAX_LINE: usize = 4_096;

    /// One line from the terminal at standard input, without showing it; `None` if there is none.
    pub(super) fn read_line() -> Option<io::Result<Zeroizing<Vec<u8>>>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return None;
        }
        Some(Hidden::new().and_then(|_hidden| read()))
    }

    /// Reads byte by byte, so that what follows the line stays there for the next question, and none
    /// of it in a buffer of the standard library.
    fn read() -> io::Result<Zeroizing<Vec<u8>>> {
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
        let mut byte = Zeroizing::new([0; 1]);
        loop {
            match rustix::io::read(io::stdin(), &mut *byte) {
                Ok(0) if line.is_empty() => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(0) => return Ok(line),
                Ok(_) if *byte == [b'\n'] => {
                    if line.last() == Some(&b'\r') {
                        line.pop();
                    }
                    return Ok(line);
                }
                Ok(_) if line.len() == MAX_LINE => return Err(ErrorKind::InvalidInput.into()),
                Ok(_) => line.extend(*byte),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A terminal that shows nothing of what is typed, until this is dropped or the process is
    /// interrupted, stopped or terminated.
    struct Hidden;

    /// The terminal as it was and as it is now, while it is hidden.
    static HIDDEN: Mutex<Option<(Termios, Termios)>> = Mutex::new(None);

    impl Hidden {
        fn new() -> io::Result<Self> {
            // Without its thread the terminal stays hidden after a signal, as the reference leaves it.
            static WATCHED: Once = Once::new();
            WATCHED.call_once(|| drop(watch()));
            let before = tcgetattr(io::stdin())?;
            let mut hidden = before.clone();
            hidden.local_modes.remove(LocalModes::ECHO);
            hidden.local_modes.insert(LocalModes::ICANON | LocalModes::ISIG);
            hidden.input_modes.insert(InputModes::ICRNL);
            let mut state = state();
            tcsetattr(io::stdin(), OptionalActions::Now, &hidden)?;
            *state = Some((before, hidden));
            Ok(Self)
        }
    }

    impl Drop for Hidden {
        fn drop(&mut self) {
            if let Some((before, _)) = state().take() {
                let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
            }
        }
    }

    fn state() -> MutexGuard<'static, Option<(Termios, Termios)>> {
        HIDDEN.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows again what is typed before a signal has its usual effect, and hides it when the process
    /// goes on. For the rest of the process: a signal that somebody once listened to has no effect of
    /// its own any more.
    fn watch() -> io::Result<()> {
        let mut signals = Signals::new([SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP])?;
        let show = move || {
            for signal in signals.forever() {
                // Held until the signal has had its effect: the terminal is not hidden meanwhile.
                let state = state();
                match &*state {
                    Some((_, hidden)) if signal == SIGCONT => {
                        let _ = tcsetattr(io::stdin(), OptionalActions::Now, hidden);
                    }
                    Some((before, _)) => {
                        let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
                        // The shell's prompt begins on a line of its own.
                        super::say("\n");
                    }
                    None => {}
                }
                if signal != SIGCONT {
                    let _ = emulate_default_handler(signal);
                }
            }
        };
        thread::Builder::new().spawn(show).map(drop)
    }
}

#[cfg(not(unix))]
mod terminal {
    use std::io;

    use zeroize::Zeroizing;

    /// Here the passphrase comes from the environment only.
    pub(super) fn read_line() -> Option<io::Result<Zeroizing<Vec<u8>>>> {
        None
    }
}
