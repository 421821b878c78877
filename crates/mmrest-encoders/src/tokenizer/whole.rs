//! Finds special and added tokens in a text before it is cut into words.

use std::borrow::Cow;

use super::AddedToken;

/// A part of a text.
pub(super) enum Piece<'a> {
    /// A token that stands there as a whole.
    Token(u32),
    /// What lies between such tokens.
    Text(Cow<'a, str>),
}

/// Tokens that are found in a text as they stand: the longest one that begins first.
pub(super) struct WholeTokens {
    /// Looked for in the text as it is written.
    exact: Vec<WholeToken>,
    /// Looked for in the lower-cased text.
    normalized: Vec<WholeToken>,
    lowercase: bool,
}

struct WholeToken {
    content: String,
    single_word: bool,
    id: u32,
}

impl WholeTokens {
    pub(super) fn new(lowercase: bool) -> Self {
        Self {
            exact: Vec::new(),
            normalized: Vec::new(),
            lowercase,
        }
    }

    /// Adds a token; one that is there already, or is empty, is left out.
    pub(super) fn insert(&mut self, token: &AddedToken, id: u32) {
        let normalized = token.normalized && self.lowercase;
        let content = if normalized {
            token.content.to_lowercase()
        } else {
            token.content.clone()
        };
        let known = self.exact.iter().chain(&self.normalized);
        if content.is_empty() || known.into_iter().any(|known| known.content == content) {
            return;
        }
        let list = if normalized {
            &mut self.normalized
        } else {
            &mut self.exact
        };
        list.push(WholeToken {
            content,
            single_word: token.single_word,
            id,
        });
    }

    /// The tokens in a text, and what lies between them.
    pub(super) fn split<'a>(&self, text: &'a str) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        for piece in cut(text, &self.exact) {
            match piece {
                Piece::Text(text) if !self.normalized.is_empty() => {
                    let lower = text.to_lowercase();
                    let of_text = cut(&lower, &self.normalized).into_iter();
                    pieces.extend(of_text.map(|piece| match piece {
                        Piece::Token(id) => Piece::Token(id),
                        Piece::Text(text) => Piece::Text(Cow::Owned(text.into_owned())),
                    }));
                }
                piece => pieces.push(piece),
            }
        }
        pieces
    }
}

/// Cuts a text at tokens, the longest one at the first place that has any.
fn cut<'a>(text: &'a str, tokens: &[WholeToken]) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    let (mut from, mut at) = (0, 0);
    while let Some(next) = text[at..].chars().next() {
        let rest = &text[at..];
        let here = |token: &&WholeToken| {
            rest.starts_with(&token.content)
                && (!token.single_word || stands_alone(text, at, at + token.content.len()))
        };
        let found = tokens.iter().filter(here);
        match found.max_by_key(|token| token.content.len()) {
            Some(token) => {
                if from < at {
                    pieces.push(Piece::Text(Cow::Borrowed(&text[from..at])));
                }
                pieces.push(Piece::Token(token.id));
                at += token.content.len();
                from = at;
            }
            None => at += next.len_utf8(),
        }
    }
    if from < text.len() {
        pieces.push(Piece::Text(Cow::Borrowed(&text[from..])));
    }
    pieces
}

/// Whether no letter, digit or underscore touches a range of a text.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    let before = text[..start].chars().next_back();
    let after = text[end..].chars().next();
    !before.is_some_and(part_of_word) && !after.is_some_and(part_of_word)
}
