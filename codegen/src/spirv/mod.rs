//! SPIR-V for Vulkan and OpenCL.
