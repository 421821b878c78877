//! The stack machine that a pickle is a program for.

use std::collections::HashMap;
use std::sync::Arc;

use super::array::{Array, Data};
use super::dtype::DType;
use super::globals::Global;
use super::input::Input;
use super::opcode as op;
use super::payload::Payload;
use super::store::Store;
use super::strided::Layout;
use super::value::{Id, Node};
use crate::{DataError, Result};

/// Values, and uses of values, in one pickle: some hundred times those of the greatest data set there is, few enough to
/// be held in memory.
const MOST_VALUES: usize = 1 << 23;

/// Values that a file may hold whatever its size.
const FEW_VALUES: u64 = 1 << 20;

/// Arguments of a call that are looked at.
const MOST_ARGUMENTS: usize = 8;

/// A pickle in the middle of being read.
pub(super) struct Machine {
    store: Arc<Store>,
    input: Input,
    /// Where the opcode at work begins.
    at: u64,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    /// What texts became that stand for bytes.
    pub(super) encoded: HashMap<Id, Payload>,
    /// Values pushed or copied so far.
    pushed: usize,
    /// Values there may be: no more than the file has bytes.
    most: usize,
}

/// Reads a pickle to its end: all its nodes, and which is the whole.
pub(super) fn run(store: &Arc<Store>) -> Result<(Vec<Node>, Id)> {
    let mut machine = Machine {
        store: Arc::clone(store),
        input: Input::new(store),
        at: 0,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        encoded: HashMap::new(),
        pushed: 0,
        most: most_values(store.worth()),
    };
    machine.check_beginning()?;
    let mut steps = store.worth();
    loop {
        machine.at = machine.input.position();
        steps = steps.checked_sub(1).ok_or_else(|| machine.too_long())?;
        let opcode = machine.input.byte()?;
        if opcode == op::STOP {
            let root = machine.pop()?;
            return Ok((machine.nodes, root));
        }
        machine.step(opcode)?;
    }
}

/// Values that there may be in a file of this many bytes.
fn most_values(bytes: u64) -> usize {
    let most = usize::try_from(bytes.max(FEW_VALUES)).unwrap_or(usize::MAX);
    most.min(MOST_VALUES)
}

impl Machine {
    fn check_beginning(&mut self) -> Result<()> {
        if self.store.length() == 0 {
            return Err(self.wrong("the file is empty"));
        }
        match self.input.byte()? {
            op::PROTO => self.protocol(),
            b'(' | b']' | b'}' | b')' | b'c' | b'l' | b'd' | b'S' | b'I' | b'V' | b'K' | b'N' => {
                Err(self.wrong(
                    "a pickle of protocol 0 or 1, which is not read, or no pickle; write it again with protocol=4",
                ))
            }
            byte => Err(self.wrong(format!(
                "not a pickle of protocol 2 to 5: the first byte is {byte:#04x}, not 0x80"
            ))),
        }
    }

    fn protocol(&mut self) -> Result<()> {
        match self.input.byte()? {
            2..=5 => Ok(()),
            old @ (0 | 1) => Err(self.wrong(format!(
                "a pickle of protocol {old}, which is not read; write it again with protocol=4"
            ))),
            other => Err(self.wrong(format!("protocol {other} is not one of 2 to 5"))),
        }
    }

    /// Does what one opcode says.
    fn step(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            op::PROTO => self.protocol(),
            op::FRAME => {
                let size = self.input.size(8)?;
                self.input.check(size, "a frame")
            }
            op::MARK => {
                if self.marks.len() >= self.most {
                    return Err(self.too_many());
                }
                self.marks.push(self.stack.len());
                Ok(())
            }
            op::POP => match self.marks.last() {
                Some(&mark) if mark == self.stack.len() => self.pop_mark().map(drop),
                _ => self.pop().map(drop),
            },
            op::POP_MARK => self.pop_mark().map(drop),
            op::DUP => {
                let top = self.top()?;
                self.push(top)
            }
            op::BINPUT | op::LONG_BINPUT | op::MEMOIZE | op::BINGET | op::LONG_BINGET => {
                self.remember(opcode)
            }
            op::APPEND
            | op::APPENDS
            | op::SETITEM
            | op::SETITEMS
            | op::TUPLE
            | op::TUPLE1
            | op::TUPLE2
            | op::TUPLE3
            | op::EMPTY_TUPLE
            | op::EMPTY_LIST
            | op::EMPTY_DICT => self.collect(opcode),
            op::GLOBAL | op::STACK_GLOBAL | op::REDUCE => self.call_opcode(opcode),
            op::BUILD => {
                let state = self.pop()?;
                let object = self.top()?;
                let node = self.built(object, state)?;
                self.replace(object, node);
                Ok(())
            }
            _ => self.constant(opcode),
        }
    }

    /// Opcodes that push a value written in the file.
    fn constant(&mut self, opcode: u8) -> Result<()> {
        let input = &mut self.input;
        let node = match opcode {
            op::NONE => Node::None,
            op::NEWTRUE => Node::Bool(true),
            op::NEWFALSE => Node::Bool(false),
            op::BININT => Node::Int(i32::from_le_bytes(input.array()?).into()),
            op::BININT1 => Node::Int(input.byte()?.into()),
            op::BININT2 => Node::Int(u16::from_le_bytes(input.array()?).into()),
            op::LONG1 | op::LONG4 => self.long(opcode)?,
            op::BINFLOAT => Node::Float(f64::from_be_bytes(input.array()?)),
            op::SHORT_BINUNICODE => self.text(1)?,
            op::BINUNICODE => self.text(4)?,
            op::BINUNICODE8 => self.text(8)?,
            op::SHORT_BINBYTES | op::SHORT_BINSTRING => Node::Bytes(self.payload(1)?),
            op::BINBYTES | op::BINSTRING => Node::Bytes(self.payload(4)?),
            op::BINBYTES8 => Node::Bytes(self.payload(8)?),
            op::BYTEARRAY8 => Node::ByteArray(self.payload(8)?),
            _ => return Err(self.refused(opcode)),
        };
        self.push_new(node)
    }

    /// An integer of any size, two's complement, the least significant byte first.
    fn long(&mut self, opcode: u8) -> Result<Node> {
        let bytes = self.input.size(if opcode == op::LONG1 { 1 } else { 4 })?;
        if bytes > 16 {
            return Err(self.wrong(format!("an integer of {bytes} bytes; 16 are read")));
        }
        let bytes = self.input.take(usize::try_from(bytes).unwrap_or(0))?;
        let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut all = [if negative { 0xff } else { 0 }; 16];
        for (place, &byte) in all.iter_mut().zip(bytes) {
            *place = byte;
        }
        Ok(Node::Int(i128::from_le_bytes(all)))
    }

    fn text(&mut self, width: usize) -> Result<Node> {
        let text = self.payload(width)?;
        let bytes = text.in_memory();
        if bytes.is_some_and(|bytes| std::str::from_utf8(bytes).is_err()) {
            return Err(self.wrong("text that is not UTF-8"));
        }
        Ok(Node::Text(text))
    }

    /// Bytes after their number.
    fn payload(&mut self, width: usize) -> Result<Payload> {
        let bytes = self.input.size(width)?;
        self.input.payload(bytes, "a string")
    }

    /// Opcodes that put the top into the memo, or push what is there.
    fn remember(&mut self, opcode: u8) -> Result<()> {
        let place = match opcode {
            op::BINPUT | op::BINGET => self.input.size(1)?,
            op::LONG_BINPUT | op::LONG_BINGET => self.input.size(4)?,
            _ => self.memo.len() as u64,
        };
        if matches!(opcode, op::BINGET | op::LONG_BINGET) {
            let Some(&id) = self.memo.get(&place) else {
                return Err(self.wrong(format!("uses memo {place}, where nothing was put")));
            };
            return self.push(id);
        }
        let top = self.top()?;
        if self.memo.len() >= self.most {
            return Err(self.too_many());
        }
        self.memo.insert(place, top);
        Ok(())
    }

    /// Opcodes that make and fill tuples, lists and dictionaries.
    fn collect(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            op::EMPTY_TUPLE => self.push_new(Node::Tuple(Vec::new())),
            op::EMPTY_LIST => self.push_new(Node::List(Vec::new())),
            op::EMPTY_DICT => self.push_new(Node::Dict(Vec::new())),
            op::TUPLE1 => self.tuple(1),
            op::TUPLE2 => self.tuple(2),
            op::TUPLE3 => self.tuple(3),
            op::TUPLE => {
                let items = self.pop_mark()?;
                self.push_new(Node::Tuple(items))
            }
            op::APPEND => {
                let item = self.pop()?;
                self.append(vec![item])
            }
            op::APPENDS => {
                let items = self.pop_mark()?;
                self.append(items)
            }
            op::SETITEM => {
                let items = self.pop_many(2)?;
                self.set(&items)
            }
            op::SETITEMS => {
                let items = self.pop_mark()?;
                self.set(&items)
            }
            _ => Err(self.refused(opcode)),
        }
    }

    fn tuple(&mut self, items: usize) -> Result<()> {
        let items = self.pop_many(items)?;
        self.push_new(Node::Tuple(items))
    }

    fn append(&mut self, items: Vec<Id>) -> Result<()> {
        let list = self.top()?;
        if let Some(Node::List(list)) = self.nodes.get_mut(list.index()) {
            list.extend(items);
            return Ok(());
        }
        let what = self.node(list).what();
        Err(self.wrong(format!("appends to {what}, not to a list")))
    }

    fn set(&mut self, items: &[Id]) -> Result<()> {
        let dict = self.top()?;
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.wrong("a key without a value"));
        }
        if let Some(Node::Dict(dict)) = self.nodes.get_mut(dict.index()) {
            dict.extend(pairs.iter().map(|&[key, value]| (key, value)));
            return Ok(());
        }
        let what = self.node(dict).what();
        Err(self.wrong(format!("sets a key of {what}, not of a dictionary")))
    }

    /// Opcodes that name something, or call it.
    fn call_opcode(&mut self, opcode: u8) -> Result<()> {
        let global = match opcode {
            op::GLOBAL => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                self.global(&module, &name)?
            }
            op::STACK_GLOBAL => {
                let names = self.pop_many(2)?;
                let mut names = names.iter().map(|&id| self.short(id));
                let (Some(Some(module)), Some(Some(name))) = (names.next(), names.next()) else {
                    return Err(self.wrong("a global whose name is not text"));
                };
                self.global(module, name)?
            }
            _ => return self.reduce(),
        };
        self.push_new(Node::Global(global))
    }

    fn global(&self, module: &str, name: &str) -> Result<Global> {
        Global::find(module, name).ok_or_else(|| {
            let name = shown(&format!("{module}.{name}"));
            let advice = match module.split('.').next() {
                Some("torch") => "; write tensors as arrays, with tensor.numpy()",
                Some("pandas") => "; write tables with to_csv, and columns as arrays",
                _ => "",
            };
            self.wrong(format!(
                "asks for {name}, which is not data; only plain values and NumPy arrays are read, and nothing is run{advice}"
            ))
        })
    }

    fn reduce(&mut self) -> Result<()> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let &Node::Global(global) = self.node(callable) else {
            let what = self.node(callable).what();
            return Err(self.wrong(format!("calls {what}, which is no function")));
        };
        let Node::Tuple(arguments) = self.node(arguments) else {
            let what = self.node(arguments).what();
            return Err(self.wrong(format!("calls {} with {what}", global.name())));
        };
        // No call that is known has as many.
        let some: Vec<Id> = arguments.iter().copied().take(MOST_ARGUMENTS).collect();
        let made = self.call(global, &some)?;
        self.push_new(made)
    }

    /// Why an opcode is not obeyed.
    fn refused(&self, opcode: u8) -> DataError {
        let reason = match (opcode, op::name(opcode)) {
            (_, None) => format!("{opcode:#04x} is no opcode; the file is damaged or no pickle"),
            (op::INST | op::OBJ | op::NEWOBJ | op::NEWOBJ_EX, Some(name)) => {
                format!("makes an object of a class ({name}), which is not data; nothing is run")
            }
            (op::PERSID | op::BINPERSID, Some(name)) => {
                format!("refers to an object outside the file ({name})")
            }
            (op::EXT1 | op::EXT2 | op::EXT4, Some(name)) => {
                format!("uses the registry of extensions ({name}), which only its writer has")
            }
            (op::NEXT_BUFFER | op::READONLY_BUFFER, Some(name)) => {
                format!("has its data outside the file ({name})")
            }
            (op::EMPTY_SET | op::ADDITEMS | op::FROZENSET, Some(name)) => {
                format!("holds a set ({name}), which is not read")
            }
            (_, Some(name)) => format!("opcode {name} is of protocol 0, which is not read"),
        };
        self.wrong(reason)
    }

    /// A node by its id.
    pub(super) fn node(&self, id: Id) -> &Node {
        self.nodes.get(id.index()).unwrap_or(&Node::None)
    }

    /// Text (or the bytes Python 2 writes for it) of the few letters that names have.
    pub(super) fn short(&self, id: Id) -> Option<&str> {
        self.node(id).short()
    }

    pub(super) fn new_array(&self, layout: Layout, dtype: DType, data: Data) -> Array {
        Array::new(&self.store, self.at, layout, dtype, data)
    }

    /// An error at the opcode at work.
    pub(super) fn wrong(&self, reason: impl Into<String>) -> DataError {
        self.store.wrong(self.at, reason)
    }

    fn too_many(&self) -> DataError {
        self.wrong(format!(
            "more than {} values; the features of a data set should be arrays",
            self.most
        ))
    }

    fn too_long(&self) -> DataError {
        self.wrong(format!(
            "more than {} steps, which a compressed file of this size does not hold; the features of a data set should be arrays",
            self.store.worth()
        ))
    }

    fn replace(&mut self, id: Id, node: Node) {
        if let Some(place) = self.nodes.get_mut(id.index()) {
            *place = node;
        }
    }

    fn push_new(&mut self, node: Node) -> Result<()> {
        let index = u32::try_from(self.nodes.len());
        let id = Id(index.map_err(|_| self.too_many())?);
        self.nodes.push(node);
        self.push(id)
    }

    fn push(&mut self, id: Id) -> Result<()> {
        self.check_count(1)?;
        self.count(1);
        self.stack.push(id);
        Ok(())
    }

    /// Refuses more values than there may be.
    pub(super) fn check_count(&self, more: usize) -> Result<()> {
        if self.pushed.saturating_add(more) > self.most {
            return Err(self.too_many());
        }
        Ok(())
    }

    pub(super) fn count(&mut self, more: usize) {
        self.pushed += more;
    }

    /// Where the values since the last mark begin.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id> {
        let above = self.stack.get(self.floor()..).unwrap_or_default();
        above.last().copied().ok_or_else(|| self.nothing())
    }

    fn pop(&mut self) -> Result<Id> {
        self.top()?;
        self.stack.pop().ok_or_else(|| self.nothing())
    }

    fn pop_many(&mut self, items: usize) -> Result<Vec<Id>> {
        match self.stack.len().checked_sub(items) {
            Some(start) if start >= self.floor() => Ok(self.stack.split_off(start)),
            _ => Err(self.nothing()),
        }
    }

    /// The values since the last mark, which goes with them.
    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark.min(self.stack.len()))),
            None => Err(self.nothing()),
        }
    }

    fn nothing(&self) -> DataError {
        self.wrong("needs a value where there is none; the file is damaged")
    }
}

/// A name out of a file, fit to be shown.
fn shown(name: &str) -> String {
    name.chars()
        .take(100)
        .flat_map(char::escape_debug)
        .collect()
}

/// The same in quotation marks.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", shown(name))
}
