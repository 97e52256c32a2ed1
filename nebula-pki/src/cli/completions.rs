//! `completions`: what shells propose after `nebula-cert`.

use std::fmt::Write;

use crate::failure::{Failure, Failures};
use crate::files;
use crate::flags::{Flag, Kind, Mode, Values};

/// The shells that there are completions for.
pub(crate) const SHELLS: [&str; 3] = ["bash", "fish", "zsh"];

pub(crate) fn run(values: &Values, modes: &[Mode]) -> Result<(), Failures> {
    let script = match values.rest.first().and_then(|shell| shell.to_str()) {
        Some("bash") => bash(modes),
        Some("fish") => fish(modes),
        Some("zsh") => zsh(modes),
        _ => return Err(Failure::usage("the shell must be bash, fish or zsh").into()),
    };
    files::print(script.as_bytes())
        .map_err(|error| error.failure("error while writing completions: ").into())
}

/// What may be proposed for the value of a flag.
enum Proposal {
    /// It takes no value.
    None,
    Files,
    Words(String),
    /// Only the user knows.
    Nothing,
}

fn proposal(flag: &Flag) -> Proposal {
    match flag.kind {
        Kind::Switch => Proposal::None,
        Kind::Path(_) => Proposal::Files,
        _ if flag.values.is_empty() => Proposal::Nothing,
        _ => Proposal::Words(flag.values.join(" ")),
    }
}

fn names(modes: &[Mode]) -> String {
    modes.iter().map(|mode| mode.name).collect::<Vec<_>>().join(" ")
}

fn bash(modes: &[Mode]) -> String {
    let mut values = String::new();
    let mut flags = String::new();
    for mode in modes {
        for flag in mode.flags {
            let proposed = match proposal(flag) {
                Proposal::None => continue,
                Proposal::Files => "mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); compopt -o filenames 2>/dev/null".to_owned(),
                Proposal::Words(words) => {
                    format!("mapfile -t COMPREPLY < <(compgen -W \"{words}\" -- \"$cur\")")
                }
                Proposal::Nothing => ":".to_owned(),
            };
            let (mode, flag) = (mode.name, flag.name);
            let _ = writeln!(
                values,
                "        \"{mode} -{flag}\" | \"{mode} --{flag}\") {proposed}; return ;;"
            );
        }
        let all: Vec<_> = mode
            .flags
            .iter()
            .map(|flag| format!("-{}", flag.name))
            .chain(mode.arguments.iter().map(|argument| (*argument).to_owned()))
            .collect();
        let _ = writeln!(flags, "        {}) words=\"{} -h\" ;;", mode.name, all.join(" "));
    }
    let names = names(modes);
    format!(
        "# bash completion for nebula-cert
_nebula_cert() {{
    local cur=\"${{COMP_WORDS[COMP_CWORD]}}\" prev=\"${{COMP_WORDS[COMP_CWORD - 1]}}\" words=\"\"
    # Bash takes the = of -flag=value for a word of its own.
    if [[ $cur == = ]]; then
        cur=\"\"
    elif [[ $prev == = ]]; then
        prev=\"${{COMP_WORDS[COMP_CWORD - 2]}}\"
    fi
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W \"{names} -h -help -version -implementation\" -- \"$cur\")
        return
    fi
    case \"${{COMP_WORDS[1]}} $prev\" in
{values}    esac
    case \"${{COMP_WORDS[1]}}\" in
{flags}    esac
    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")
}}
complete -F _nebula_cert nebula-cert
"
    )
}

fn zsh(modes: &[Mode]) -> String {
    let mut summaries = String::new();
    let mut cases = String::new();
    for mode in modes {
        let _ = writeln!(summaries, "        '{}:{}'", mode.name, zsh_text(mode.about));
        let mut specs = String::new();
        for flag in mode.flags {
            let (name, about) = (flag.name, zsh_text(&about(flag)));
            let _ = match proposal(flag) {
                Proposal::None => write!(specs, " \\\n            '-{name}[{about}]'"),
                Proposal::Files => {
                    write!(specs, " \\\n            '-{name}=[{about}]:file:_files'")
                }
                Proposal::Words(words) => {
                    write!(specs, " \\\n            '-{name}=[{about}]:value:({words})'")
                }
                Proposal::Nothing => write!(specs, " \\\n            '-{name}=[{about}]:value:'"),
            };
        }
        if !mode.arguments.is_empty() {
            let _ = write!(specs, " \\\n            '1:argument:({})'", mode.arguments.join(" "));
        }
        let _ = writeln!(cases, "    {}) _arguments '-h[show the usage]'{specs} ;;", mode.name);
    }
    format!(
        "#compdef nebula-cert
_nebula_cert() {{
    local -a modes=(
{summaries}    )
    if ((CURRENT == 2)); then
        _describe mode modes
        return
    fi
    local mode=$words[2]
    shift words
    ((CURRENT--))
    case $mode in
{cases}    esac
}}
if [[ $funcstack[1] == _nebula_cert ]]; then
    _nebula_cert \"$@\"
else
    compdef _nebula_cert nebula-cert
fi
"
    )
}

fn fish(modes: &[Mode]) -> String {
    let mut script =
        String::from("# fish completion for nebula-cert\ncomplete -c nebula-cert -f\n");
    for mode in modes {
        let _ = writeln!(
            script,
            "complete -c nebula-cert -n __fish_use_subcommand -a {} -d '{}'",
            mode.name,
            fish_text(mode.about)
        );
        let seen =
            format!("complete -c nebula-cert -n '__fish_seen_subcommand_from {}'", mode.name);
        for flag in mode.flags {
            let value = match proposal(flag) {
                Proposal::None => String::new(),
                Proposal::Files => " -r -F".to_owned(),
                Proposal::Words(words) => format!(" -x -a '{words}'"),
                Proposal::Nothing => " -x".to_owned(),
            };
            let about = fish_text(&about(flag));
            let _ = writeln!(script, "{seen} -o {}{value} -d '{about}'", flag.name);
        }
        if !mode.arguments.is_empty() {
            let _ = writeln!(script, "{seen} -a '{}'", mode.arguments.join(" "));
        }
    }
    script
}

fn about(flag: &Flag) -> String {
    format!("{}{}", flag.about, flag.beyond)
}

/// Text in single quotes, within brackets or before a colon.
fn zsh_text(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "'\\''").replace([':', '[', ']'], " ")
}

/// Text in single quotes.
fn fish_text(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modes::MODES;

    #[test]
    fn every_mode_and_flag_is_in_every_script() {
        for script in [bash(MODES), zsh(MODES), fish(MODES)] {
            for mode in MODES {
                let flags = mode.flags.iter().map(|flag| flag.name);
                for name in flags.chain([mode.name]).chain(mode.arguments.iter().copied()) {
                    assert!(script.contains(name), "{name}");
                }
            }
        }
    }
}
