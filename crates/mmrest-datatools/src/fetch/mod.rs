//! Downloading: public data files and text encoders, whole or not at all.
//!
//! A file grows as `NAME.part` beside its place. When the connection breaks it is resumed, in the same run or the next
//! one, if the server says that the file is still the same; `NAME.part.json` keeps what it said. What has arrived is
//! checked, its SHA-256 is written to `NAME.sha256`, and it is renamed: a file under its own name is whole.
//!
//! [`Fetcher::fetch`] gets one file; [`fetch_bert`] a folder with a BERT from the Hugging Face hub, or from the user's
//! cache of it.
//!
//! ```no_run
//! use mmrest_datatools::fetch::{Fetcher, Policy, Silent, Target};
//! use mmrest_data::Download;
//! use mmrest_datatools::catalogue;
//!
//! # fn main() -> mmrest_data::Result<()> {
//! let fetcher = Fetcher::new(Policy::default());
//! for file in catalogue::public_files(Download::Mosi) {
//!     let target = Target::of(file, catalogue::SERVER, "data/mosi".as_ref());
//!     let fetched = fetcher.fetch(&target, &Silent)?;
//!     println!("{}: {} bytes", fetched.path.display(), fetched.bytes);
//! }
//! # Ok(())
//! # }
//! ```

mod bert;
mod check;
mod client;
mod download;
mod hub;
mod part;
mod policy;
mod probe;
mod target;

pub use bert::{FetchedBert, fetch_bert};
pub use check::{Content, UnusableBert, check_bert};
pub use download::Fetcher;
pub use hub::{Hub, InvalidModelName, ModelName};
pub use policy::{Policy, Progress, Silent};
pub use target::{Fetched, Source, Target};
