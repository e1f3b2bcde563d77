-- Walking through a batch's KEYS and ARGV, and answering.
local SATURATED = 4096
local committed = tonumber(ARGV[1])
local key_at, arg_at = 0, 1
local reply = {}

local function next_key()
  key_at = key_at + 1
  return KEYS[key_at]
end

local function next_arg()
  arg_at = arg_at + 1
  return ARGV[arg_at]
end

local function text(number)
  return string.format('%.0f', number)
end

local function answer(number, size, windows, floor_until)
  if #windows == 0 and size < 2 then return end
  local floored = #windows > 0 and windows[1] < floor_until
  local row = { number, size, floored and 1 or 0 }
  for place = 1, #windows do row[place + 3] = windows[place] end
  reply[#reply + 1] = row
end
