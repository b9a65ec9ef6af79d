//! The Vulkan instance: the loader, and the errors that layers and drivers report beside their status codes.

use ash::{ext, khr, vk};
use std::ffi::{CStr, c_void};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};

/// Error messages, each with the thread whose call caused it: layers report from within the call.
type Messages = Mutex<Vec<(ThreadId, String)>>;

/// The instance with its library.
pub(super) struct Instance {
    pub(super) raw: ash::Instance,
    messenger: Option<(ext::debug_utils::Instance, vk::DebugUtilsMessengerEXT)>,
    // Boxed, because the driver holds its address.
    messages: Box<Messages>,
    // Last: the library stays mapped until everything above is gone.
    _entry: ash::Entry,
}

impl Instance {
    /// Loads the loader and creates an instance; the error is the reason why there is none.
    pub(super) fn new() -> Result<Instance, String> {
        // SAFETY: loading runs the initialisers of the system's Vulkan loader, which is what the caller asks for.
        let entry = unsafe { ash::Entry::load() }.map_err(|error| format!("no Vulkan loader: {error}"))?;
        // SAFETY: the loader is mapped as long as `entry` lives.
        let version = unsafe { entry.try_enumerate_instance_version() };
        let version = version.map_err(|code| format!("vkEnumerateInstanceVersion failed: {code}"))?;
        let version = version.unwrap_or(vk::API_VERSION_1_0);
        // A 1.0 loader refuses any higher version; all later ones accept what their drivers may know.
        if version < vk::API_VERSION_1_1 {
            return Err("the Vulkan loader is of version 1.0, wanted 1.1 or later".to_owned());
        }
        // SAFETY: as above.
        let offered = unsafe { entry.enumerate_instance_extension_properties(None) };
        let offered =
            offered.map_err(|code| format!("vkEnumerateInstanceExtensionProperties failed: {code}"))?;
        let offers = |name: &CStr| offered.iter().any(|known| known.extension_name_as_c_str() == Ok(name));

        let mut extensions = Vec::new();
        let reports = offers(ext::debug_utils::NAME);
        if reports {
            extensions.push(ext::debug_utils::NAME.as_ptr());
        }
        let mut flags = vk::InstanceCreateFlags::empty();
        if offers(khr::portability_enumeration::NAME) {
            extensions.push(khr::portability_enumeration::NAME.as_ptr());
            flags |= vk::InstanceCreateFlags::ENUMERATE_PORTABILITY_KHR;
        }
        let messages = Box::new(Messages::default());
        let mut reporting = vk::DebugUtilsMessengerCreateInfoEXT::default()
            .message_severity(vk::DebugUtilsMessageSeverityFlagsEXT::ERROR)
            .message_type(
                vk::DebugUtilsMessageTypeFlagsEXT::GENERAL | vk::DebugUtilsMessageTypeFlagsEXT::VALIDATION,
            )
            .pfn_user_callback(Some(report))
            .user_data((&raw const *messages).cast_mut().cast());
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let mut create = vk::InstanceCreateInfo::default()
            .application_info(&application)
            .flags(flags)
            .enabled_extension_names(&extensions);
        if reports {
            create = create.push_next(&mut reporting); // reports on the creation itself
        }
        // SAFETY: all that the structure points to outlives the call.
        let raw = unsafe { entry.create_instance(&create, None) }
            .map_err(|code| [format!("vkCreateInstance failed: {code}")].into_iter().chain(take(&messages)))
            .map_err(|reasons| reasons.collect::<Vec<_>>().join("; "))?;
        let mut instance = Instance { raw, messenger: None, messages, _entry: entry };
        if reports {
            reporting.p_next = std::ptr::null();
            let functions = ext::debug_utils::Instance::new(&instance._entry, &instance.raw);
            // SAFETY: the extension is enabled; the callback and the boxed messages outlive the messenger.
            let messenger = unsafe { functions.create_debug_utils_messenger(&reporting, None) };
            let messenger =
                messenger.map_err(|code| format!("vkCreateDebugUtilsMessengerEXT failed: {code}"))?;
            instance.messenger = Some((functions, messenger));
        }
        Ok(instance)
    }

    /// The error messages that calls of this thread have caused since the last time.
    pub(super) fn take_messages(&self) -> Vec<String> {
        take(&self.messages)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: devices hold an `Arc` of this, so that none is left; the messenger goes before its instance.
        unsafe {
            if let Some((functions, messenger)) = self.messenger.take() {
                functions.destroy_debug_utils_messenger(messenger, None);
            }
            self.raw.destroy_instance(None);
        }
    }
}

fn take(messages: &Messages) -> Vec<String> {
    let thread = thread::current().id();
    let mut messages = messages.lock().unwrap_or_else(PoisonError::into_inner);
    messages.extract_if(.., |message| message.0 == thread).map(|message| message.1).collect()
}

/// Called by layers, loader and drivers.
unsafe extern "system" fn report(
    _severity: vk::DebugUtilsMessageSeverityFlagsEXT,
    _types: vk::DebugUtilsMessageTypeFlagsEXT,
    data: *const vk::DebugUtilsMessengerCallbackDataEXT<'_>,
    messages: *mut c_void,
) -> vk::Bool32 {
    // SAFETY: the address is that of the instance's boxed messages, which outlive the messenger; a mutex may be shared.
    let messages = unsafe { messages.cast::<Messages>().as_ref() };
    // SAFETY: the data and the string are valid during the call, if they are there.
    let text = unsafe {
        data.as_ref().filter(|data| !data.p_message.is_null()).map(|data| CStr::from_ptr(data.p_message))
    };
    if let (Some(messages), Some(text)) = (messages, text) {
        let entry = (thread::current().id(), text.to_string_lossy().into_owned());
        messages.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }
    vk::FALSE // the call goes on; any other answer is for the layers' own tests
}
