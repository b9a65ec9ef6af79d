//! Marquetry: a compiler library for hosts that generate CPU and GPU code while they run.

pub mod value;
pub mod device;
pub mod filetest;
