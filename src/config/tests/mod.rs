//! The loader as a whole: good files, bad files, the example of the repository, and noise.

mod bad_files;
mod effective;
mod encrypted;
mod example;
mod noise;
mod side_port;
