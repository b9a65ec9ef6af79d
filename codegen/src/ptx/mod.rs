//! PTX for NVIDIA GPUs.
