"""Uses one engine for something small, and says what it is; exits with an error if it does not work.

Usage: probe.py spirv-tools|lavapipe|validation-layer|opencl|ptxas
The drivers are called through the libraries and the environment that the tests use.
"""

import ctypes
import os
import subprocess
import sys
import tempfile
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p

# @probe(u32 *out): out[i] = 3 * i
KERNEL = """
OpCapability Addresses
OpCapability Kernel
OpCapability Int64
OpMemoryModel Physical64 OpenCL
OpEntryPoint Kernel %probe "probe" %global_id
OpDecorate %global_id BuiltIn GlobalInvocationId
%void = OpTypeVoid
%u32 = OpTypeInt 32 0
%u64 = OpTypeInt 64 0
%three = OpConstant %u32 3
%vec = OpTypeVector %u64 3
%input = OpTypePointer Input %vec
%global = OpTypePointer CrossWorkgroup %u32
%global_id = OpVariable %input Input
%signature = OpTypeFunction %void %global
%probe = OpFunction %void None %signature
%out = OpFunctionParameter %global
%entry = OpLabel
%ids = OpLoad %vec %global_id
%i = OpCompositeExtract %u64 %ids 0
%narrow = OpUConvert %u32 %i
%value = OpIMul %u32 %narrow %three
%at = OpInBoundsPtrAccessChain %global %out %i
OpStore %at %value Aligned 4
OpReturn
OpFunctionEnd
"""

PTX = """
.version 8.0
.target sm_90
.address_size 64
.visible .entry probe() { ret; }
"""


class Failure(Exception):
    """What did not work."""


def expect(condition, message):
    if not condition:
        raise Failure(message)


def command(*args):
    """The standard output of a command that must succeed."""
    done = subprocess.run(args, capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"{' '.join(args)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def function(library, name, result, *parameters):
    found = getattr(library, name)
    found.restype, found.argtypes = result, parameters
    return found


def assemble_kernel(folder):
    text, binary = os.path.join(folder, "probe.spvasm"), os.path.join(folder, "probe.spv")
    with open(text, "w", encoding="ascii") as file:
        file.write(KERNEL)
    command("spirv-as", "--target-env", "spv1.1", text, "-o", binary)
    command("spirv-val", "--target-env", "opencl2.2", binary)
    return binary


def spirv_tools():
    with tempfile.TemporaryDirectory() as folder:
        assemble_kernel(folder)
    return command("spirv-val", "--version").splitlines()[0]


class InstanceInfo(ctypes.Structure):
    """VkInstanceCreateInfo; its first field, sType, is 1."""

    _fields_ = [
        ("type", c_uint32),
        ("next", c_void_p),
        ("flags", c_uint32),
        ("application", c_void_p),
        ("layer_count", c_uint32),
        ("layers", POINTER(c_char_p)),
        ("extension_count", c_uint32),
        ("extensions", c_void_p),
    ]


def vulkan_device(*layers):
    """The name of the only Vulkan device, seen from an instance with these layers."""
    vulkan = ctypes.CDLL("libvulkan.so.1")
    info = InstanceInfo(type=1, layer_count=len(layers), layers=(c_char_p * len(layers))(*layers))
    instance = c_void_p()
    create = function(vulkan, "vkCreateInstance", c_int, c_void_p, c_void_p, c_void_p)
    result = create(byref(info), None, byref(instance))
    expect(result == 0, f"vkCreateInstance: {result}")
    count, devices = c_uint32(8), (c_void_p * 8)()
    enumerate_devices = function(vulkan, "vkEnumeratePhysicalDevices", c_int, c_void_p, c_void_p, c_void_p)
    result = enumerate_devices(instance, byref(count), devices)
    expect(result == 0, f"vkEnumeratePhysicalDevices: {result}")
    expect(count.value == 1, f"{count.value} Vulkan devices instead of 1")
    # VkPhysicalDeviceProperties: five 32-bit fields, then the name; 4096 bytes are more than the whole.
    properties = ctypes.create_string_buffer(4096)
    function(vulkan, "vkGetPhysicalDeviceProperties", None, c_void_p, c_void_p)(devices[0], properties)
    function(vulkan, "vkDestroyInstance", None, c_void_p, c_void_p)(instance, None)
    name = properties.raw[20:276].split(b"\0")[0].decode()
    expect("llvmpipe" in name, f"the Vulkan device is {name}, not llvmpipe")
    return name


def lavapipe():
    return vulkan_device()


def validation_layer():
    return f"loads over {vulkan_device(b'VK_LAYER_KHRONOS_validation')}"


def opencl():
    library = ctypes.CDLL("libOpenCL.so.1")
    status = c_int()

    def check(what, code):
        expect(code == 0, f"{what}: {code}")

    def create(name, parameters, *arguments):
        """Calls a function whose last parameter is where its status goes."""
        made = function(library, name, c_void_p, *parameters, c_void_p)(*arguments, byref(status))
        check(name, status.value)
        return c_void_p(made)

    def call(name, parameters, *arguments):
        check(name, function(library, name, c_int, *parameters)(*arguments))

    count, platform, device = c_uint32(), c_void_p(), c_void_p()
    call("clGetPlatformIDs", [c_uint32, c_void_p, c_void_p], 1, byref(platform), byref(count))
    expect(count.value == 1, f"{count.value} OpenCL platforms instead of 1")
    every_type = 0xFFFFFFFF
    call("clGetDeviceIDs", [c_void_p, c_uint64, c_uint32, c_void_p, c_void_p], platform, every_type, 1, byref(device), None)
    version = ctypes.create_string_buffer(256)
    driver_version = 0x102D
    call("clGetDeviceInfo", [c_void_p, c_uint32, c_size_t, c_void_p, c_void_p], device, driver_version, 256, version, None)

    context = create("clCreateContext", [c_void_p, c_uint32, c_void_p, c_void_p, c_void_p], None, 1, byref(device), None, None)
    queue = create("clCreateCommandQueue", [c_void_p, c_void_p, c_uint64], context, device, 0)
    with tempfile.TemporaryDirectory() as folder:
        with open(assemble_kernel(folder), "rb") as file:
            module = file.read()
    program = create("clCreateProgramWithIL", [c_void_p, c_char_p, c_size_t], context, module, len(module))
    call("clBuildProgram", [c_void_p, c_uint32, c_void_p, c_char_p, c_void_p, c_void_p], program, 1, byref(device), b"", None, None)
    kernel = create("clCreateKernel", [c_void_p, c_char_p], program, b"probe")

    items = 64
    read_write, blocking = 1, 1
    out = (c_uint32 * items)()
    buffer = create("clCreateBuffer", [c_void_p, c_uint64, c_size_t, c_void_p], context, read_write, ctypes.sizeof(out), None)
    call("clSetKernelArg", [c_void_p, c_uint32, c_size_t, c_void_p], kernel, 0, 8, byref(buffer))
    enqueue = [c_void_p, c_void_p, c_uint32, c_void_p, c_void_p, c_void_p, c_uint32, c_void_p, c_void_p]
    call("clEnqueueNDRangeKernel", enqueue, queue, kernel, 1, None, byref(c_size_t(items)), None, 0, None, None)
    read = [c_void_p, c_void_p, c_uint32, c_size_t, c_size_t, c_void_p, c_uint32, c_void_p, c_void_p]
    call("clEnqueueReadBuffer", read, queue, buffer, blocking, 0, ctypes.sizeof(out), out, 0, None, None)
    expect(list(out) == [3 * i for i in range(items)], f"a kernel computed {list(out)}")
    return f"ran a kernel, driver {version.value.decode()}"


def ptxas():
    with tempfile.TemporaryDirectory() as folder:
        text, cubin = os.path.join(folder, "probe.ptx"), os.path.join(folder, "probe.cubin")
        with open(text, "w", encoding="ascii") as file:
            file.write(PTX)
        command(os.environ["MARQ_PTXAS"], "-arch=sm_90", text, "-o", cubin)
        assembly = command(os.environ["MARQ_NVDISASM"], "-c", cubin)
        expect("EXIT" in assembly, f"nvdisasm printed:\n{assembly}")
    version = command(os.environ["MARQ_PTXAS"], "--version")
    return next(line for line in version.splitlines() if "release" in line)


PROBES = {
    "spirv-tools": spirv_tools,
    "lavapipe": lavapipe,
    "validation-layer": validation_layer,
    "opencl": opencl,
    "ptxas": ptxas,
}

if __name__ == "__main__":
    try:
        print(PROBES[sys.argv[1]]())
    except (Failure, OSError, AttributeError) as problem:
        sys.exit(f"{sys.argv[1]}: {problem}")
