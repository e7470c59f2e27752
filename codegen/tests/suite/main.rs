//! The tests of code generation, a module for each subject.
//!
//! Why one program: each program of tests links the whole compiler, which takes disk and time.

mod block_programs;
mod c;
mod convert;
mod host;
mod interp;
mod phases;
mod ptx;
mod support;
