# cython: language_level=3, boundscheck=False, cdivision=True, initializedcheck=False
"""JSON objects of rollups to blocks of rows in ClickHouse's Native format, without an object a value.

The definition is `rows.py` (`rollup_rows`) and clickhouse-connect's writer of columns. This takes values of exactly the
types that our writer writes; any other raises `OddValueError`, and who asked leaves the whole batch to the definition,
which knows whether it is another way to say the same, an unreadable record, or a row that ClickHouse refuses.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_Resize
from cpython.dict cimport PyDict_CheckExact, PyDict_GetItem
from cpython.list cimport PyList_CheckExact
from cpython.long cimport PyLong_AsLongLong, PyLong_AsUnsignedLongLong, PyLong_CheckExact
from cpython.unicode cimport PyUnicode_CheckExact
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from services.shared._native cimport (
    Buffer,
    Names,
    close_names,
    next_block,
    open_names,
    put_byte,
    put_bytes,
    put_column_name,
    put_named,
    put_places,
    put_size,
    put_text,
    put_u32,
    put_u64,
    release,
)

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef extern from *:
    """
    #ifndef SPANLOOM_SINK_ROWS_H
    #define SPANLOOM_SINK_ROWS_H
    #include <stdint.h>
    /* Dollars as `rollups.dollars` writes them, to picodollars in 16 bytes, little end first. 0: not such a text. */
    static inline int rows_money(const char *p, int64_t n, uint8_t *out) {
        unsigned __int128 v = 0;
        int i, minus = n > 0 && *p == '-', digits = 0, behind = -1;
        if (minus) { p++; n--; }
        if (n < 1 || n > 38 || *p == '.') return 0;
        for (; n > 0; p++, n--) {
            if (*p == '.') {
                if (behind >= 0) return 0;
                behind = 0;
                continue;
            }
            if (*p < '0' || *p > '9' || behind == 12 || ++digits > 36) return 0;
            v = v * 10 + (unsigned)(*p - '0');
            if (behind >= 0) behind++;
        }
        if (behind == 0) return 0;
        for (i = behind < 0 ? 0 : behind; i < 12; i++) {
            if (++digits > 36) return 0;
            v *= 10;
        }
        if (minus) v = -v;
        for (i = 0; i < 16; i++) out[i] = (uint8_t)(v >> (8 * i));
        return 1;
    }
    #endif
    """
    bint rows_money(const char* text, int64_t size, uint8_t* out)


class OddValueError(ValueError):
    """A value that our writer does not write: for the definition to read."""


cdef class Column:
    """The values of one column, or of what is inside its lists and maps."""

    cdef Buffer data

    def __dealloc__(self):
        release(&self.data)

    cdef int put(self, object value) except -1:
        raise NotImplementedError

    cdef int write_prefix(self, Buffer* out) except -1:
        return 0

    cdef int write(self, Buffer* out) except -1:
        return put_bytes(out, self.data.data, self.data.size)

    cdef size_t size(self):
        """Bytes that `write` will write, and some more."""
        return self.data.size + 64

    cdef void clear(self):
        self.data.size = 0


cdef class TextColumn(Column):
    cdef int put(self, object value) except -1:
        cdef Py_ssize_t size
        cdef const char* text
        if not PyUnicode_CheckExact(value):
            raise OddValueError(value)
        text = PyUnicode_AsUTF8AndSize(value, &size)
        return put_text(&self.data, <const uint8_t*> text, size)


cdef class NameColumn(Column):
    cdef Names names

    def __cinit__(self):
        open_names(&self.names, <uint64_t> <int64_t> hash("spanloom"))

    def __dealloc__(self):
        close_names(&self.names)

    cdef int put(self, object value) except -1:
        cdef Py_ssize_t size
        cdef const char* text
        if not PyUnicode_CheckExact(value):
            raise OddValueError(value)
        text = PyUnicode_AsUTF8AndSize(value, &size)
        return put_named(&self.data, &self.names, <const uint8_t*> text, size)

    cdef int write_prefix(self, Buffer* out) except -1:
        return put_u64(out, 1)  # the version of dictionaries

    cdef int write(self, Buffer* out) except -1:
        return put_places(out, &self.data, &self.names)

    cdef size_t size(self):
        return self.data.size + self.names.dictionary.size + 64

    cdef void clear(self):
        self.data.size = 0
        next_block(&self.names)


cdef class FlagColumn(Column):
    """`UInt8` and `Bool`."""

    cdef int put(self, object value) except -1:
        if value is True:
            return put_byte(&self.data, 1)
        if value is not False:
            raise OddValueError(value)
        return put_byte(&self.data, 0)


cdef class CountColumn(Column):
    """`UInt64`, and `UInt32` where `most` says so."""

    cdef uint64_t most

    def __cinit__(self, uint64_t most):
        self.most = most

    cdef int put(self, object value) except -1:
        cdef uint64_t number
        if not PyLong_CheckExact(value):
            raise OddValueError(value)
        number = PyLong_AsUnsignedLongLong(value)
        if number > self.most:
            raise OddValueError(value)
        if self.most >> 32:
            return put_u64(&self.data, number)
        return put_u32(&self.data, <uint32_t> number)


cdef class NumberColumn(Column):
    """`Int64` and times."""

    cdef int put(self, object value) except -1:
        if not PyLong_CheckExact(value):
            raise OddValueError(value)
        return put_u64(&self.data, <uint64_t> <int64_t> PyLong_AsLongLong(value))


cdef class KeyColumn(Column):
    """`Int32` from the text that a key of JSON has to be."""

    cdef int put(self, object value) except -1:
        cdef object number
        if not PyUnicode_CheckExact(value) or len(value) > 11:
            raise OddValueError(value)
        try:
            number = int(value)
        except ValueError:
            raise OddValueError(value) from None
        if str(number) != value or not -(1 << 31) <= number < 1 << 31:
            raise OddValueError(value)
        return put_u32(&self.data, <uint32_t> <int> number)


cdef class MoneyColumn(Column):
    cdef int put(self, object value) except -1:
        cdef uint8_t number[16]
        cdef Py_ssize_t size, each
        cdef const char* text
        if PyUnicode_CheckExact(value):
            text = PyUnicode_AsUTF8AndSize(value, &size)
            if not rows_money(text, size, number):
                raise OddValueError(value)
        elif PyLong_CheckExact(value) and not value:
            for each in range(16):
                number[each] = 0
        else:
            raise OddValueError(value)
        return put_bytes(&self.data, number, 16)


cdef class OptionalColumn(Column):
    """`Nullable`: what is absent has a mark, and a value that nobody reads."""

    cdef Column held
    cdef object nothing

    def __cinit__(self, Column held, nothing):
        self.held, self.nothing = held, nothing

    cdef int put(self, object value) except -1:
        put_byte(&self.data, value is None)
        return self.held.put(self.nothing if value is None else value)

    cdef int write(self, Buffer* out) except -1:
        put_bytes(out, self.data.data, self.data.size)
        return self.held.write(out)

    cdef size_t size(self):
        return self.data.size + self.held.size()

    cdef void clear(self):
        self.data.size = 0
        self.held.clear()


cdef class ListColumn(Column):
    """Its own values are where each list ends."""

    cdef Column held
    cdef uint64_t count

    def __cinit__(self, Column held):
        self.held = held

    cdef int put(self, object value) except -1:
        if not PyList_CheckExact(value):
            raise OddValueError(value)
        for each in <list> value:
            self.held.put(each)
        self.count += len(<list> value)
        return put_u64(&self.data, self.count)

    cdef int write_prefix(self, Buffer* out) except -1:
        return self.held.write_prefix(out)

    cdef int write(self, Buffer* out) except -1:
        put_bytes(out, self.data.data, self.data.size)
        return self.held.write(out)

    cdef size_t size(self):
        return self.data.size + self.held.size()

    cdef void clear(self):
        self.data.size = self.count = 0
        self.held.clear()


cdef class MapColumn(Column):
    cdef Column keys, held
    cdef uint64_t count

    def __cinit__(self, Column keys, Column held):
        self.keys, self.held = keys, held

    cdef int put(self, object value) except -1:
        if not PyDict_CheckExact(value):
            raise OddValueError(value)
        for key, each in (<dict> value).items():
            self.keys.put(key)
            self.held.put(each)
        self.count += len(<dict> value)
        return put_u64(&self.data, self.count)

    cdef int write_prefix(self, Buffer* out) except -1:
        self.keys.write_prefix(out)
        return self.held.write_prefix(out)

    cdef int write(self, Buffer* out) except -1:
        put_bytes(out, self.data.data, self.data.size)
        self.keys.write(out)
        return self.held.write(out)

    cdef size_t size(self):
        return self.data.size + self.keys.size() + self.held.size()

    cdef void clear(self):
        self.data.size = self.count = 0
        self.keys.clear()
        self.held.clear()


cdef Column column_of(str type):
    """Of one of the types that tables of rollups have."""
    if type == "String":
        return TextColumn()
    if type == "LowCardinality(String)":
        return NameColumn()
    if type in ("UInt8", "Bool"):
        return FlagColumn()
    if type == "UInt32":
        return CountColumn(0xFFFFFFFF)
    if type == "UInt64":
        return CountColumn(0xFFFFFFFFFFFFFFFF)
    if type in ("Int64", "DateTime64(9, 'UTC')"):
        return NumberColumn()
    if type == "Int32":
        return KeyColumn()
    if type == "Decimal(38, 12)":
        return MoneyColumn()
    if type == "Nullable(UInt64)":
        return OptionalColumn(CountColumn(0xFFFFFFFFFFFFFFFF), 0)
    if type.startswith("Array(") and type.endswith(")"):
        return ListColumn(column_of(type[6:-1]))
    if type.startswith("Map(") and type.endswith(")"):
        keys, _, held = type[4:-1].partition(", ")
        return MapColumn(column_of(keys), column_of(held))
    raise ValueError(f"no column of type {type}")


cdef class TableBlock:
    """Rows of one table that are added one by one and taken out as one block."""

    cdef list columns, names, defaults
    cdef readonly Py_ssize_t count

    def __init__(self, columns):
        """`columns`: name, type and default of each; `...` where there must be a value."""
        self.names = [name for name, _, _ in columns]
        self.columns = [(name.encode(), type.encode(), column_of(type)) for name, type, _ in columns]
        self.defaults = [default for _, _, default in columns]

    def add(self, dict record, dict around):
        """Add a row: each column is in the object, else in the one `around` it, else it has its default.

        Raises `OddValueError`, `OverflowError` or `UnicodeEncodeError`, after which the block is rubbish.
        """
        cdef Py_ssize_t each
        cdef Column column
        cdef object value
        cdef void* found
        for each in range(len(self.names)):
            name = self.names[each]
            column = <Column> (<tuple> self.columns[each])[2]
            found = <void*> PyDict_GetItem(record, name)
            if found == NULL:
                found = <void*> PyDict_GetItem(around, name)
            if found == NULL:
                value = self.defaults[each]
                if value is Ellipsis:
                    raise OddValueError(name)
            else:
                value = <object> found
            column.put(value)
        self.count += 1

    def clear(self):
        """Forget the rows."""
        cdef Column column
        self.count = 0
        for _, _, column in self.columns:
            column.clear()

    @property
    def size(self):
        """Bytes of the rows so far, about."""
        cdef Column column
        cdef size_t total = 0
        for _, _, column in self.columns:
            total += column.size()
        return total

    def take(self):
        """The block, a bytearray; none of its rows is held any longer."""
        cdef Buffer out
        cdef bytes name, type
        cdef Column column
        cdef size_t total = self.size + 1024
        for name, type, _ in self.columns:
            total += len(name) + len(type) + 64
        data = PyByteArray_FromStringAndSize(NULL, total)
        out.data, out.size, out.room = <uint8_t*> PyByteArray_AS_STRING(data), 0, total  # it never grows
        put_size(&out, len(self.columns))
        put_size(&out, self.count)
        for name, type, column in self.columns:
            put_column_name(&out, name, type)
            column.write_prefix(&out)
            column.write(&out)
        PyByteArray_Resize(data, out.size)
        self.clear()
        return data
