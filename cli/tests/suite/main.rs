//! The tests of the command, a module for each subject.
//!
//! Why one program: each program of tests links the whole compiler, which takes disk and time.

mod bad_input;
mod bench;
mod cache;
mod common;
mod compare;
mod contracts;
mod explain;
mod gpu;
mod kernels;
mod limits;
mod numpy_files;
mod reduce;
mod run;
mod tune;
