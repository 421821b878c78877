//! Whether a data set is what is known of it.
