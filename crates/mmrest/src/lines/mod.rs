//! The JSON that segments come in by and scores go out by, a line each.

mod parse;
mod scored;

pub(crate) use parse::parse_line;
pub(crate) use scored::Scored;
