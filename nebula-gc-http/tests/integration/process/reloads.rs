//! Is what the table of reloads says true of each release?
