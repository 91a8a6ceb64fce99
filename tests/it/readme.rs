//! README.md does what it says: its commands are run as they are printed, in order, in one shell, and print what it shows.
//!
//! The convention, for whoever edits the README:
//! - ```` ```sh ```` is run, and must end well (`set -euo pipefail`).
//! - ```` ```sh until "WORDS" ```` is run as if in a terminal of its own; the next block begins when it has printed WORDS.
//! - `<!-- Ctrl-C -->` ends those terminals as Ctrl-C does; they must end well.
//! - ```` ```text ```` right after such a block holds lines that it prints, in this order among others; `…` stands for
//!   whatever is not the same each time. All other blocks are only read.
//! - The blocks run in a copy of the repository, with an empty home folder.
//! - `cargo run [options] -- ARGS`, `target/release/portcullis ARGS` and `portcullis ARGS` run the gateway that this test was
//!   built with, and `cargo run -p NAME` the sample server that lies beside it (`cargo build --workspace`); `cargo build`
//!   does nothing more. The test would only build again what it is part of.
//! - The ports 8000, 9000 and 8091 (`:8000`, `--port 8000`, ..) are replaced by free ones, and `portcullis demo` without
//!   `--port` is given the first two.

use crate::support::gateway::BINARY;
use crate::support::peers::repository;
use crate::support::ports::free_port;
use crate::support::process::{PATIENCE, Process};
use std::fmt::Write as _;

use std::path::Path;
use std::process::Command;

/// The ports that the README names, in the order in which free ones are given.
const PORTS: [&str; 3] = ["8000", "9000", "8091"];

/// What the shell needs to know of terminals: `terminal` waits for the words of the last one, `interrupt` ends all.
const PROLOGUE: &str = r#"set -euo pipefail
exec 2>&1
terminals=()
terminal() {
  terminals+=("$1 $2")
  until grep -qF -- "$3" "$1.log"; do
    kill -0 "$2" 2>/dev/null || { cat "$1.log"; echo "it ended before it said: $3"; exit 1; }
    sleep 0.05
  done
  cat "$1.log"
}
interrupt() {
  for one in "${terminals[@]}"; do
    set -- $one
    kill -INT $(cat "$1.pid")
    wait "$2"
  done
  terminals=()
}
"#;

/// Where in the README, and what is to be done there.
#[derive(Debug, PartialEq)]
struct Step {
    line: usize,
    what: What,
}

#[derive(Debug, PartialEq)]
enum What {
    Run(String),
    Until(String, String),
    Interrupt,
}

/// What the step that began in a line must have printed.
#[derive(Debug, PartialEq)]
struct Shown {
    line: usize,
    text: String,
}

/// The steps of a README, and what is shown of them.
fn read(text: &str) -> (Vec<Step>, Vec<Shown>) {
    let (mut steps, mut shown) = (Vec::new(), Vec::new());
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line_of_content = number + 2;
        if line.trim() == "<!-- Ctrl-C -->" {
            steps.push(Step { line: number + 1, what: What::Interrupt });
        }
        let Some(info) = line.strip_prefix("```") else { continue };
        let content: Vec<_> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        let content = content.join("\n") + "\n";
        let until = info.strip_prefix("sh until \"").and_then(|words| words.strip_suffix('"'));
        match (info, until, steps.last()) {
            (_, Some(words), _) => {
                steps.push(Step { line: line_of_content, what: What::Until(content, words.to_owned()) });
            }
            ("sh", ..) => steps.push(Step { line: line_of_content, what: What::Run(content) }),
            ("text", _, Some(step)) => shown.push(Shown { line: step.line, text: content }),
            _ => {}
        }
    }
    (steps, shown)
}

fn marker(line: usize) -> String {
    format!("--- README.md:{line}")
}

/// One script of all steps, that says which one it is in. Terminals keep their files in `folder`.
fn script(steps: &[Step], folder: &Path) -> String {
    let mut script = PROLOGUE.to_owned();
    for Step { line, what } in steps {
        let _ = writeln!(script, "printf '\\n%s\\n' '{}'", marker(*line));
        let file = folder.join(line.to_string());
        let file = file.display();
        let _ = match what {
            What::Run(block) => write!(script, "{block}"),
            What::Until(block, words) => write!(
                script,
                "(export TERMINAL='{file}'\n{block}) > '{file}.log' 2>&1 &\nterminal '{file}' $! '{words}'\n"
            ),
            What::Interrupt => writeln!(script, "interrupt"),
        };
    }
    script
}

/// With the ports of this test.
fn with_ports(text: &str, ports: [u16; 3]) -> String {
    PORTS.iter().zip(ports).fold(text.to_owned(), |text, (usual, free)| {
        [":", "port ", "port=", "PORT="]
            .iter()
            .fold(text, |text, before| text.replace(&format!("{before}{usual}"), &format!("{before}{free}")))
    })
}

/// What is shown and was not printed.
fn missing<'a>(shown: &'a Shown, printed: &[String]) -> Option<&'a str> {
    let begin = printed.iter().position(|line| *line == marker(shown.line)).map_or(printed.len(), |at| at + 1);
    let mut rest = printed.iter().skip(begin).take_while(|line| !line.starts_with("--- README.md:"));
    let wanted = shown.text.lines().filter(|line| !line.trim().is_empty());
    wanted.into_iter().find(|wanted| !rest.any(|line| fits(wanted, line)))
}

/// Whether `line` is `wanted`, in which `…` stands for anything.
fn fits(wanted: &str, line: &str) -> bool {
    let (wanted, line) = (wanted.trim_end(), line.trim_end());
    let Some((first, rest)) = wanted.split_once('…') else { return line == wanted };
    let (middle, last) = rest.rsplit_once('…').unwrap_or(("", rest));
    let inner = line.strip_prefix(first).and_then(|line| line.strip_suffix(last));
    let found = |inner: &str| {
        middle.split('…').try_fold(inner.len(), |left, part| {
            let searched = inner.get(inner.len() - left..)?;
            searched.split_once(part).map(|(_, after)| after.len())
        })
    };
    inner.and_then(found).is_some()
}

/// The commands that stand in for those of the same name. What runs in a terminal leaves its pid for Ctrl-C.
fn write_commands(bin: &Path, clone: &Path, ports: [u16; 3]) {
    let [gateway, admin, calculator] = ports;
    let beside = Path::new(BINARY).parent().unwrap().display();
    let head = "#!/usr/bin/env bash\nif [ -n \"${TERMINAL:-}\" ]; then echo $$ > \"$TERMINAL.pid\"; fi\n";
    let portcullis = format!(
        "{head}if [ \"${{1:-}}\" = demo ] && [[ \" $* \" != *\" --port\"* ]]; then
  set -- \"$@\" --port {gateway} --admin-port {admin}
fi
exec {BINARY} \"$@\"\n"
    );
    let cargo = format!(
        "{head}case \"$1\" in
  build) exit 0 ;;
  run)
    if [ \"$2\" = -p ]; then PORT=${{PORT:-{calculator}}} exec {beside}/\"$3\"; fi
    while [ \"$#\" -gt 0 ] && [ \"$1\" != -- ]; do shift; done
    shift || true
    exec portcullis \"$@\" ;;
esac
echo \"the README's test does not know: cargo $*\" >&2
exit 1\n"
    );
    let built = clone.join("target/release");
    std::fs::create_dir_all(&built).unwrap();
    let files =
        [(bin.join("portcullis"), &portcullis), (built.join("portcullis"), &portcullis), (bin.join("cargo"), &cargo)];
    for (path, text) in files {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
}

/// Copies what git knows of the repository.
async fn copy_repository(to: &Path) {
    let mut command = Command::new("bash");
    command.args(["-c", "git ls-files -z | tar --null -T - -cf - | tar -xf - -C \"$0\""]).arg(to);
    let mut copy = Process::spawn(command.current_dir(repository()));
    assert!(copy.end().await, "{}", copy.lines().join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_readme_works() {
    let text = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let ports = [free_port(), free_port(), free_port()];
    let (steps, shown) = read(&with_ports(&text, ports));
    assert!(!steps.is_empty(), "README.md has no block of ```sh");
    let dir = tempfile::tempdir().unwrap();
    let [clone, home, bin] = ["clone", "home", "bin"].map(|name| dir.path().join(name));
    for folder in [&clone, &home, &bin] {
        std::fs::create_dir(folder).unwrap();
    }
    copy_repository(&clone).await;
    write_commands(&bin, &clone, ports);
    let file = dir.path().join("readme.sh");
    std::fs::write(&file, script(&steps, dir.path())).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("bash");
    command.arg(&file).current_dir(&clone).env("PATH", path).env("HOME", &home);
    let mut shell = Process::spawn_group(&mut command);
    let well = shell.end_within(5 * PATIENCE).await;
    let printed = shell.lines();
    assert!(well, "the last block failed:\n{}", printed.join("\n"));
    for shown in &shown {
        let missing = missing(shown, &printed);
        assert_eq!(missing, None, "not printed by the block of line {}:\n{}", shown.line, printed.join("\n"));
    }
}

#[test]
fn each_column_of_the_record_is_explained() {
    let text = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let schema = include_str!("../../src/store/journal/schema.sql");
    let view = schema.split("CREATE VIEW calls AS").nth(1).unwrap().split("FROM entries").next().unwrap();
    let columns: Vec<_> = view.lines().filter_map(|line| line.split(" AS ").nth(1)).collect();
    assert!(columns.len() > 30, "{columns:?}");
    for column in columns.iter().map(|column| column.trim_end_matches(',').trim()) {
        assert!(text.contains(&format!("`{column}`")), "README.md does not explain `{column}`");
    }
}

#[test]
fn blocks_become_steps_with_ports_of_their_own() {
    let text = "```sh until \"up now\"\nserve --port 9000\n```\n```yaml\nb: 1\n```\n```sh\ncurl localhost:8000/x\n```\n\n\
                ```text\nok …\n```\n<!-- Ctrl-C -->\n";
    let (steps, shown) = read(&with_ports(text, [1, 2, 3]));
    let expected = [
        Step { line: 2, what: What::Until("serve --port 2\n".into(), "up now".into()) },
        Step { line: 8, what: What::Run("curl localhost:1/x\n".into()) },
        Step { line: 14, what: What::Interrupt },
    ];
    assert_eq!(steps, expected);
    assert_eq!(shown, [Shown { line: 8, text: "ok …\n".into() }]);
}

#[test]
fn what_is_shown_must_have_been_printed_by_its_own_block() {
    let printed = ["--- README.md:2", "one 1 end", "two", "--- README.md:8", "three"].map(str::to_owned);
    let missing = |text: &str| missing(&Shown { line: 2, text: text.into() }, &printed).map(str::to_owned);
    assert_eq!(missing("one … end\ntwo\n"), None);
    assert_eq!(missing("one …\n"), None);
    for wrong in ["two\none …\n", "three\n", "one\n", "one … en\n", "… 2 …\n"] {
        assert!(missing(wrong).is_some(), "{wrong}");
    }
}
