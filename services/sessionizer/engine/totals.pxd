from services.sessionizer.engine.intervals cimport Intervals
from services.sessionizer.engine.names cimport Names
from services.sessionizer.engine.usage cimport Sums
from services.sessionizer.engine.who cimport Who


cdef class Totals(Who):
    cdef public long long turn_count, span_count, error_count, error_turn_count, tool_call_count
    cdef public Sums usage
    cdef public Names models, providers, tools
    cdef public object first_input, last_output, first_input_below, last_output_below, last_error
    cdef public Intervals active
    cdef public dict latency, said
