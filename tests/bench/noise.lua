--- One byte less than 1 MB that nothing can compress; a worker that has required it keeps it.
local file <close> = assert(io.open("/dev/urandom", "rb"))
return file:read(999999)
