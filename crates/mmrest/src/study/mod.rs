//! Studies: variants of one configuration, each trained with several seeds, compared in tables.
//!
//! A [`mod@file`] names the variants, a [`plan`] makes runs of them, [`schedule`] has them done by [`child`] processes,
//! [`results`] reads what they left, [`summary`] compares it, [`tables`] has it in words, [`markdown`], [`sheet`] and
//! [`report`] write it down.

pub(crate) mod child;
pub(crate) mod cost;
pub(crate) mod file;
pub(crate) mod json;
pub(crate) mod markdown;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod results;
pub(crate) mod runs;
pub(crate) mod schedule;
pub(crate) mod sheet;
pub(crate) mod summary;
pub(crate) mod tables;
