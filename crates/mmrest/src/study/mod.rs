//! Studies: variants of one configuration, each trained with several seeds, compared in tables.
//!
//! A [`mod@file`] names the variants, a [`plan`] makes [`runs`] of them, [`processes`] trains them in child processes and
//! [`progress`] shows how far they are; [`summary`] compares the results, and [`tables`], [`csv`] and [`report`] write them.

pub(crate) mod base;
pub(crate) mod cost;
pub(crate) mod csv;
pub(crate) mod file;
pub(crate) mod paper;
pub(crate) mod plan;
pub(crate) mod processes;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod runs;
pub(crate) mod search;
pub(crate) mod slurm;
pub(crate) mod summary;
pub(crate) mod tables;
