cdef class Turn:
    cdef public bytes trace_id
    cdef public long long start, end, version, span_count, error_count, tool_call_count
    cdef public object settled, usage, root, input, output, input_below, output_below, said, model, first_token, spans
