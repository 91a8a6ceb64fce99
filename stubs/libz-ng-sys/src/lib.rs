//! Stands in for `libz-ng-sys`, so that Portcullis builds with a Rust toolchain and a C compiler alone.
//!
//! pingora asks `flate2` for its zlib-ng backend, whose real binding runs cmake. Portcullis never inflates or deflates: it
//! asks upstreams for `identity`, refuses any other `Content-Encoding` (a body that cannot be read cannot be filtered),
//! and does not compress answers. So this crate has the binding's names and types and no codec: every operation answers
//! `Z_STREAM_ERROR`, upon which `flate2` panics at the first use, loudly, instead of passing a body on unread.
#![allow(non_camel_case_types, non_snake_case, reason = "the names are those of zlib's C interface")]

use core::ffi::{c_char, c_int, c_uint, c_ulong, c_void};

pub type alloc_func = unsafe extern "C" fn(*mut c_void, c_uint, c_uint) -> *mut c_void;
pub type free_func = unsafe extern "C" fn(*mut c_void, *mut c_void);
pub type uInt = c_uint;
pub type uLong = c_ulong;
pub type z_size = usize;
pub type z_checksum = u32;

pub enum internal_state {}

#[repr(C)]
pub struct z_stream {
    pub next_in: *mut u8,
    pub avail_in: uInt,
    pub total_in: z_size,
    pub next_out: *mut u8,
    pub avail_out: uInt,
    pub total_out: z_size,
    pub msg: *mut c_char,
    pub state: *mut internal_state,
    pub zalloc: alloc_func,
    pub zfree: free_func,
    pub opaque: *mut c_void,
    pub data_type: c_int,
    pub adler: z_checksum,
    pub reserved: uLong,
}

pub const Z_NO_FLUSH: c_int = 0;
pub const Z_PARTIAL_FLUSH: c_int = 1;
pub const Z_SYNC_FLUSH: c_int = 2;
pub const Z_FULL_FLUSH: c_int = 3;
pub const Z_FINISH: c_int = 4;
pub const Z_BLOCK: c_int = 5;
pub const Z_OK: c_int = 0;
pub const Z_STREAM_END: c_int = 1;
pub const Z_NEED_DICT: c_int = 2;
pub const Z_STREAM_ERROR: c_int = -2;
pub const Z_DATA_ERROR: c_int = -3;
pub const Z_MEM_ERROR: c_int = -4;
pub const Z_BUF_ERROR: c_int = -5;
pub const Z_DEFAULT_STRATEGY: c_int = 0;
pub const Z_DEFLATED: c_int = 8;

pub extern "C" fn zlibVersion() -> *const c_char {
    c"none".as_ptr()
}

pub extern "C" fn deflateInit2_(
    _: *mut z_stream,
    _: c_int,
    _: c_int,
    _: c_int,
    _: c_int,
    _: c_int,
    _: *const c_char,
    _: c_int,
) -> c_int {
    Z_STREAM_ERROR
}

pub extern "C" fn inflateInit2_(_: *mut z_stream, _: c_int, _: *const c_char, _: c_int) -> c_int {
    Z_STREAM_ERROR
}

pub extern "C" fn deflate(_: *mut z_stream, _: c_int) -> c_int {
    Z_STREAM_ERROR
}

pub extern "C" fn inflate(_: *mut z_stream, _: c_int) -> c_int {
    Z_STREAM_ERROR
}

pub extern "C" fn deflateEnd(_: *mut z_stream) -> c_int {
    Z_OK
}

pub extern "C" fn inflateEnd(_: *mut z_stream) -> c_int {
    Z_OK
}

pub extern "C" fn deflateReset(_: *mut z_stream) -> c_int {
    Z_STREAM_ERROR
}

pub extern "C" fn inflateReset2(_: *mut z_stream, _: c_int) -> c_int {
    Z_STREAM_ERROR
}

pub extern "C" fn deflateParams(_: *mut z_stream, _: c_int, _: c_int) -> c_int {
    Z_STREAM_ERROR
}

pub extern "C" fn deflateSetDictionary(_: *mut z_stream, _: *const u8, _: uInt) -> c_int {
    Z_STREAM_ERROR
}

pub extern "C" fn inflateSetDictionary(_: *mut z_stream, _: *const u8, _: uInt) -> c_int {
    Z_STREAM_ERROR
}
