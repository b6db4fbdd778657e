cpdef bytes window_prefix(bytes session, bytes window)
cpdef tuple head_names(bytes key)
cpdef long long deadline(bytes head) except? -1
cpdef bint is_open(bytes head) except -1
cpdef bint is_unsent(bytes head) except -1
cpdef bint is_whole(bytes head) except -1
