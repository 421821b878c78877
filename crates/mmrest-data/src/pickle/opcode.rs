//! The opcodes of pickles, named as in Python's `pickletools`.

macro_rules! opcodes {
    ($($name:ident = $byte:literal),* $(,)?) => {
        // Those that are always refused are only named.
        $(#[allow(dead_code)] pub(super) const $name: u8 = $byte;)*

        /// The name of an opcode.
        pub(super) fn name(opcode: u8) -> Option<&'static str> {
            match opcode {
                $($byte => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
}

opcodes! {
    MARK = b'(', STOP = b'.', POP = b'0', POP_MARK = b'1', DUP = b'2',
    // Protocol 0 and 1, written as text or no longer written.
    FLOAT = b'F', INT = b'I', LONG = b'L', STRING = b'S', UNICODE = b'V', GET = b'g', PUT = b'p', DICT = b'd',
    LIST = b'l', INST = b'i', OBJ = b'o', PERSID = b'P', BINPERSID = b'Q',
    // Protocol 1, still written.
    BININT = b'J', BININT1 = b'K', BININT2 = b'M', BINFLOAT = b'G', NONE = b'N', BINSTRING = b'T',
    SHORT_BINSTRING = b'U', BINUNICODE = b'X', APPEND = b'a', APPENDS = b'e', BUILD = b'b', GLOBAL = b'c',
    EMPTY_DICT = b'}', EMPTY_LIST = b']', EMPTY_TUPLE = b')', SETITEM = b's', SETITEMS = b'u', TUPLE = b't',
    BINGET = b'h', LONG_BINGET = b'j', BINPUT = b'q', LONG_BINPUT = b'r', REDUCE = b'R',
    // Protocol 2.
    PROTO = 0x80, NEWOBJ = 0x81, EXT1 = 0x82, EXT2 = 0x83, EXT4 = 0x84, TUPLE1 = 0x85, TUPLE2 = 0x86, TUPLE3 = 0x87,
    NEWTRUE = 0x88, NEWFALSE = 0x89, LONG1 = 0x8a, LONG4 = 0x8b,
    // Protocol 3.
    BINBYTES = b'B', SHORT_BINBYTES = b'C',
    // Protocol 4.
    SHORT_BINUNICODE = 0x8c, BINUNICODE8 = 0x8d, BINBYTES8 = 0x8e, EMPTY_SET = 0x8f, ADDITEMS = 0x90,
    FROZENSET = 0x91, NEWOBJ_EX = 0x92, STACK_GLOBAL = 0x93, MEMOIZE = 0x94, FRAME = 0x95,
    // Protocol 5.
    BYTEARRAY8 = 0x96, NEXT_BUFFER = 0x97, READONLY_BUFFER = 0x98,
}
