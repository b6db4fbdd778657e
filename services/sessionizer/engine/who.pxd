from services.sessionizer.engine.names cimport Names


cdef class Who:
    cdef public Names users, services, agents, conversations, tags, session, metadata
    cdef public object environment
