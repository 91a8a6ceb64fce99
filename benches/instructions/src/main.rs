//! Does one piece of the core's work so many times: `portcullis-instructions WORK TIMES`. Alone it says nothing; `count.py`
//! runs it under callgrind, once with no times and once with many, and the difference is what the work itself takes.
//! Without arguments it names the pieces.

mod call;
mod work;

use anyhow::{Context, Result};
use std::io::Write as _;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        for (name, _) in work::ALL {
            writeln!(std::io::stdout(), "{name}")?;
        }
        return Ok(());
    };
    let times: usize = arguments.next().context("how many times?")?.parse()?;
    let found = work::ALL.into_iter().find(|(known, _)| *known == name);
    let (_, prepare) = found.with_context(|| format!("there is no {name}"))?;
    let once = prepare()?;
    for _ in 0..times {
        once()?;
    }
    Ok(())
}
