//! The directory's CSV file.
