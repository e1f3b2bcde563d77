-- Members in a string: a header of `head` bytes, then records of 16: an 8-byte time and an 8-byte
-- hash, sorted by both. Places count from 0. Records are compared as numbers: Lua compares strings
-- by the server's locale.
local NEVER = -4611686018427387904

local function number_at(raw, offset)
  return (struct.unpack('>i8', raw, offset + 1))
end

local function time_at(raw, head, place)
  return (struct.unpack('>i8', raw, head + 16 * place + 1))
end

local function record(raw, head, place)
  return string.sub(raw, head + 16 * place + 1, head + 16 * place + 16)
end

-- The first place at `time` or later.
local function first_at(raw, head, size, time, low)
  local high = size
  low = low or 0
  while low < high do
    local middle = math.floor((low + high) / 2)
    if time_at(raw, head, middle) < time then low = middle + 1 else high = middle end
  end
  return low
end

-- Whether the record of `raw` at `place` comes before (time, a, b).
local function comes_before(raw, head, place, time, a, b)
  local time_here, a_here, b_here = struct.unpack('>i8I4I4', raw, head + 16 * place + 1)
  if time_here ~= time then return time_here < time end
  if a_here ~= a then return a_here < a end
  return b_here < b
end

-- `raw` with the records of `batch` (sorted, no header) it did not hold, how many those are, and
-- whether they all came at the end.
local function merged(raw, head, batch)
  local size, coming = (#raw - head) / 16, #batch / 16
  local time, a, b = struct.unpack('>i8I4I4', batch, 1)
  if size == 0 or comes_before(raw, head, size - 1, time, a, b) then
    return raw .. batch, coming, true
  end
  local low, high = 0, size
  while low < high do
    local middle = math.floor((low + high) / 2)
    if comes_before(raw, head, middle, time, a, b) then low = middle + 1 else high = middle end
  end
  local parts, added, here, next = { string.sub(raw, 1, head + 16 * low) }, 0, low, 0
  while next < coming do
    time, a, b = struct.unpack('>i8I4I4', batch, 16 * next + 1)
    if here < size and comes_before(raw, head, here, time, a, b) then
      parts[#parts + 1] = record(raw, head, here)
      here = here + 1
    else
      local new = record(batch, 0, next)
      if here == size or record(raw, head, here) ~= new then
        parts[#parts + 1] = new
        added = added + 1
      end
      next = next + 1
    end
  end
  if added == 0 then return raw, 0, true end
  parts[#parts + 1] = string.sub(raw, head + 16 * here + 1)
  return table.concat(parts), added, false
end

-- The times and the hashes of all records, in two tables whose places count from 1.
local function listed(raw, head)
  local times, hashes, place = {}, {}, 0
  for offset = head + 1, #raw, 16 do
    place = place + 1
    times[place], hashes[place] = struct.unpack('>i8c8', raw, offset)
  end
  return times, hashes
end
