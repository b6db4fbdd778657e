from services.sessionizer.engine.said cimport Said
from services.sessionizer.engine.spans cimport SpanSet
from services.sessionizer.engine.usage cimport Sums


cdef class Turn:
    cdef public bytes trace_id
    cdef public long long start, end, version, span_count, error_count, tool_call_count
    cdef public Sums usage
    cdef public Said said
    cdef public SpanSet spans
    cdef public object settled, root, input, output, input_below, output_below, model, first_token
