--- What the members of each operation's input have to be. A rule is { kind, min =, max =, enum =,
--- pattern =, like =, required = }: `pattern` is the regular expression as AWS prints it, `like`
--- the Lua pattern that carries it out. validation.lua applies them.

local names = require "lambdapool.serve.lambda.names"
local runtimes = require "lambdapool.serve.lambda.runtimes"

local function set(words)
  local list = {}
  for word in words:gmatch "%S+" do
    list[#list + 1] = word
    list[word] = true
  end
  return list
end

local function required(rule)
  local copy = { required = true }
  for key, value in pairs(rule) do
    copy[key] = value
  end
  return copy
end

-- The members of several tables in one.
local function with(...)
  local all = {}
  for _, members in ipairs { ... } do
    for name, rule in pairs(members) do
      all[name] = rule
    end
  end
  return all
end

local TEXT = { "text" }
local BOOLEAN = { "boolean" }
local DESCRIPTION = { "text", max = 256 }
local NAME = { "function", required = true }
local NAMESPACED = { "function", required = true, namespaced = true }
local QUALIFIER = { "text", min = 1, max = 128, like = "^[%w$_-]+$",
  pattern = names.patterns.qualifier }
local VERSION = { "text", min = 1, max = 1024, like = { "^%$LATEST$", "^%d+$" },
  pattern = "(\\$LATEST(\\.PUBLISHED)?|[0-9]+)" }
local ALIAS = { "text", min = 1, max = 128, pattern = "(?!^[0-9]+$)([a-zA-Z0-9-_]+)",
  like = function(name) return name:find "^[%w_-]+$" and not name:find "^%d+$" end }
local URL_QUALIFIER = { "text", min = 1, max = 128, like = ALIAS.like,
  pattern = "((?!^\\d+$)^[0-9a-zA-Z-_]+$)" }
local STATEMENT = { "text", min = 1, max = 100, like = "^[%w_-]+$", pattern = "([a-zA-Z0-9-_]+)" }
local ARN = { "text", pattern = "arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\\-])+:" ..
  "([a-z]{2}(-gov)?-[a-z]+-\\d{1})?:(\\d{12})?:(.*)", like = "^arn:aws[%w-]*:[%w-]+:[%w-]*:%d*:" }
local OPTIONAL_ARN = { "text", like = { "^arn:[%w-]*:[%l%d.-]+:", "^$" },
  pattern = "(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()" }
local RUNTIME = { "text", enum = runtimes.list }
local ARCHITECTURE = { "text", enum = set "x86_64 arm64" }

local PAGE = { Marker = TEXT, MaxItems = { "integer", min = 1, max = 10000 } }
local SHORT_PAGE = { Marker = TEXT, MaxItems = { "integer", min = 1, max = 50 } }
local ONE = { FunctionName = NAME }
local QUALIFIED = { FunctionName = NAMESPACED, Qualifier = QUALIFIER }

local SOURCE = {
  ZipFile = { "blob" },
  S3Bucket = { "text", min = 3, max = 63, like = "^[%w._-]*[%w_-]$",
    pattern = "[0-9A-Za-z\\.\\-_]*(?<!\\.)" },
  S3Key = { "text", min = 1, max = 1024 },
  S3ObjectVersion = { "text", min = 1, max = 1024 },
}

local CODE = with(SOURCE, { ImageUri = TEXT, SourceKMSKeyArn = OPTIONAL_ARN })

-- The names of variables are checked against the reserved ones elsewhere.
local ENVIRONMENT = { "struct", members = { Variables = { "map", of = TEXT,
  key = { "text", pattern = "[a-zA-Z]([a-zA-Z0-9_])+", like = "^%a[%w_]+$" } } } }

local LAYERS = { "list", of = { "text", min = 1, max = 140,
  pattern = "arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+",
  like = function(arn)
    local layer = names.split_layer(arn)
    return layer and layer.version
  end } }

local LOGGING = { "struct", members = {
  LogFormat = { "text", enum = set "JSON Text" },
  ApplicationLogLevel = { "text", enum = set "TRACE DEBUG INFO WARN ERROR FATAL" },
  SystemLogLevel = { "text", enum = set "DEBUG INFO WARN" },
  LogGroup = { "text", min = 1, max = 512, like = "^[%w._/#-]+$",
    pattern = "[\\.\\-_/#A-Za-z0-9]+" },
} }

local VPC = { "struct", members = {
  SubnetIds = { "list", max = 16, of = TEXT },
  SecurityGroupIds = { "list", max = 5, of = TEXT },
  Ipv6AllowedForDualStack = BOOLEAN,
} }

local CONFIGURATION = {
  FunctionName = NAME,
  Role = { "text", like = "^arn:[%w-]*:iam::%d%d%d%d%d%d%d%d%d%d%d%d:role/?[%w_+=,.@/-]+$",
    pattern = "arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+" },
  Handler = { "text", max = 128, pattern = "[^\\s]+", like = "^%S+$" },
  Description = DESCRIPTION,
  Timeout = { "integer", min = 1, max = 900 },
  MemorySize = { "integer", min = 128, max = 10240 },
  Runtime = TEXT,
  VpcConfig = VPC,
  DeadLetterConfig = { "struct", members = { TargetArn = OPTIONAL_ARN } },
  Environment = ENVIRONMENT,
  KMSKeyArn = OPTIONAL_ARN,
  TracingConfig = { "struct", members = { Mode = { "text", enum = set "Active PassThrough" } } },
  Layers = LAYERS,
  EphemeralStorage = { "struct", members = {
    Size = { "integer", min = 512, max = 10240, required = true },
  } },
  SnapStart = { "struct", members = {
    ApplyOn = { "text", enum = set "PublishedVersions None" },
  } },
  LoggingConfig = LOGGING,
}

local TAGS = { "map", of = { "text", max = 256 }, key = { "text", min = 1, max = 128,
  pattern = "^(?!aws:).*", like = function(key) return not key:find "^aws:" end } }

local RESOURCE = { "text", required = true, min = 1, max = 256,
  pattern = "arn:(aws[a-zA-Z-]*):lambda:[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:" ..
    "(function:[a-zA-Z0-9-_]+(:(\\$LATEST|[a-zA-Z0-9-_]+))?|layer:[a-zA-Z0-9-_]+|" ..
    "code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-" ..
    "[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})",
  like = "^arn:aws[%a-]*:lambda:%l%l[%l-]*%-%d:%d%d%d%d%d%d%d%d%d%d%d%d:function:[%w_-]+" }

local ROUTING = { "struct", members = { AdditionalVersionWeights = { "map",
  key = { "text", min = 1, max = 1024, pattern = "[0-9]+", like = "^%d+$" },
  of = { "number", min = 0.0, max = 1.0 } } } }

local LAYER_NAME = { "text", required = true, min = 1, max = 140,
  pattern = "(arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\\d{12}:layer:[a-zA-Z0-9-_]+)|" ..
    "[a-zA-Z0-9-_]+",
  like = function(text)
    local layer = names.split_layer(text)
    return layer and not layer.version
  end }
local LAYER_VERSION = { LayerName = LAYER_NAME, VersionNumber = { "integer", required = true } }
local COMPATIBLE = {
  CompatibleRuntime = RUNTIME,
  CompatibleArchitecture = ARCHITECTURE,
}

local ORIGINS = { "list", max = 100, of = { "text", min = 1, max = 253 } }
local HEADERS = { "list", max = 100, of = { "text", max = 1024 } }
local CORS = { "struct", members = {
  AllowCredentials = BOOLEAN,
  AllowHeaders = HEADERS,
  AllowMethods = { "list", max = 6, of = { "text", max = 6,
    enum = set "GET PUT HEAD POST PATCH DELETE *" } },
  AllowOrigins = ORIGINS,
  ExposeHeaders = HEADERS,
  MaxAge = { "integer", min = 0, max = 86400 },
} }
local URL = { FunctionName = NAME, Qualifier = URL_QUALIFIER }
local URL_CONFIG = with(URL, {
  AuthType = { "text", enum = set "NONE AWS_IAM" },
  Cors = CORS,
  InvokeMode = { "text", enum = set "BUFFERED RESPONSE_STREAM" },
})

local DESTINATION = { "struct", members = { Destination = { "text", max = 350,
  like = { "^$", "^kafka://", ARN.like }, pattern = "$|kafka://([^.]([a-zA-Z0-9\\-_.]{0,248}))|" ..
    ARN.pattern } } }
local EVENT_CONFIG = with(QUALIFIED, {
  MaximumRetryAttempts = { "integer", min = 0, max = 2 },
  MaximumEventAgeInSeconds = { "integer", min = 60, max = 21600 },
  DestinationConfig = { "struct", members = { OnSuccess = DESTINATION, OnFailure = DESTINATION } },
})

local PROVISIONED = { FunctionName = NAME, Qualifier = required(QUALIFIER) }

local PERMISSION = {
  StatementId = required(STATEMENT),
  Action = { "text", required = true, pattern = "(lambda:[*]|lambda:[a-zA-Z]+|[*])",
    like = { "^lambda:%*$", "^lambda:%a+$", "^%*$" } },
  Principal = { "text", required = true, pattern = "[^\\s]+", like = "^%S+$" },
  RevisionId = TEXT,
}

local shapes = {
  CreateFunction = with(CONFIGURATION, {
    Role = required(CONFIGURATION.Role),
    Code = { "struct", required = true, members = CODE },
    Publish = BOOLEAN,
    PackageType = { "text", enum = set "Zip Image" },
    Tags = TAGS,
    Architectures = { "list", min = 1, max = 1, of = ARCHITECTURE },
  }),
  GetFunction = QUALIFIED,
  GetFunctionConfiguration = QUALIFIED,
  UpdateFunctionCode = with(ONE, CODE, {
    Publish = BOOLEAN,
    DryRun = BOOLEAN,
    RevisionId = TEXT,
    Architectures = { "list", min = 1, max = 1, of = ARCHITECTURE },
  }),
  UpdateFunctionConfiguration = with(CONFIGURATION, { RevisionId = TEXT }),
  DeleteFunction = QUALIFIED,
  ListFunctions = with(PAGE, {
    FunctionVersion = { "text", enum = set "ALL" },
    MasterRegion = { "text", like = { "^ALL$", "^%l%l%-[%l-]+%-%d$" },
      pattern = "ALL|[a-z]{2}(-gov)?-[a-z]+-\\d{1}" },
  }),
  PublishVersion = with(ONE, {
    CodeSha256 = TEXT, Description = DESCRIPTION, RevisionId = TEXT,
  }),
  ListVersionsByFunction = with(PAGE, { FunctionName = NAMESPACED }),

  CreateAlias = { FunctionName = NAME, Name = required(ALIAS),
    FunctionVersion = required(VERSION), Description = DESCRIPTION, RoutingConfig = ROUTING },
  UpdateAlias = { FunctionName = NAME, Name = required(ALIAS), FunctionVersion = VERSION,
    Description = DESCRIPTION, RoutingConfig = ROUTING, RevisionId = TEXT },
  GetAlias = { FunctionName = NAME, Name = required(ALIAS) },
  DeleteAlias = { FunctionName = NAME, Name = required(ALIAS) },
  ListAliases = with(PAGE, { FunctionName = NAME, FunctionVersion = VERSION }),

  ListTags = { Resource = RESOURCE },
  TagResource = { Resource = RESOURCE, Tags = required(TAGS) },
  UntagResource = { Resource = RESOURCE, TagKeys = { "list", required = true,
    of = { "text", min = 1, max = 128 } } },

  AddPermission = with(QUALIFIED, PERMISSION, {
    SourceArn = ARN,
    SourceAccount = { "text", max = 12, pattern = "\\d{12}", like = "^%d%d%d%d%d%d%d%d%d%d%d%d$" },
    EventSourceToken = { "text", max = 256, pattern = "[a-zA-Z0-9._\\-]+", like = "^[%w._-]+$" },
    PrincipalOrgID = { "text", min = 12, max = 34, pattern = "o-[a-z0-9]{10,32}",
      like = "^o%-[%l%d]+$" },
    FunctionUrlAuthType = { "text", enum = set "NONE AWS_IAM" },
    InvokedViaFunctionUrl = BOOLEAN,
  }),
  RemovePermission = with(QUALIFIED, {
    StatementId = { "text", required = true, min = 1, max = 100, like = "^[%w_.-]+$",
      pattern = "([a-zA-Z0-9-_.]+)" },
    RevisionId = TEXT,
  }),
  GetPolicy = QUALIFIED,

  PublishLayerVersion = { LayerName = LAYER_NAME, Description = DESCRIPTION,
    Content = { "struct", required = true, members = SOURCE },
    CompatibleRuntimes = { "list", max = 15, of = RUNTIME }, LicenseInfo = { "text", max = 512 },
    CompatibleArchitectures = { "list", max = 2, of = ARCHITECTURE } },
  ListLayers = with(SHORT_PAGE, COMPATIBLE),
  ListLayerVersions = with(SHORT_PAGE, COMPATIBLE, { LayerName = LAYER_NAME }),
  GetLayerVersion = LAYER_VERSION,
  GetLayerVersionByArn = { Arn = required(LAYERS.of) },
  DeleteLayerVersion = LAYER_VERSION,
  AddLayerVersionPermission = with(LAYER_VERSION, PERMISSION, {
    Action = { "text", required = true, max = 22, pattern = "lambda:GetLayerVersion",
      like = "^lambda:GetLayerVersion$" },
    Principal = { "text", required = true,
      pattern = "\\d{12}|\\*|arn:(aws[a-zA-Z-]*):iam::\\d{12}:root",
      like = { "^%d%d%d%d%d%d%d%d%d%d%d%d$", "^%*$", "^arn:aws[%a-]*:iam::%d+:root$" } },
    OrganizationId = { "text", max = 34, pattern = "o-[a-z0-9]{10,32}", like = "^o%-[%l%d]+$" },
  }),
  RemoveLayerVersionPermission = with(LAYER_VERSION, {
    StatementId = required(STATEMENT), RevisionId = TEXT,
  }),
  GetLayerVersionPolicy = LAYER_VERSION,

  CreateFunctionUrlConfig = with(URL_CONFIG, { AuthType = required(URL_CONFIG.AuthType) }),
  UpdateFunctionUrlConfig = URL_CONFIG,
  GetFunctionUrlConfig = URL,
  DeleteFunctionUrlConfig = URL,
  ListFunctionUrlConfigs = with(SHORT_PAGE, ONE),

  PutFunctionConcurrency = with(ONE, {
    ReservedConcurrentExecutions = { "integer", required = true, min = 0 },
  }),
  GetFunctionConcurrency = ONE,
  DeleteFunctionConcurrency = ONE,
  PutProvisionedConcurrencyConfig = with(PROVISIONED, {
    ProvisionedConcurrentExecutions = { "integer", required = true, min = 1 },
  }),
  GetProvisionedConcurrencyConfig = PROVISIONED,
  DeleteProvisionedConcurrencyConfig = PROVISIONED,
  ListProvisionedConcurrencyConfigs = with(SHORT_PAGE, ONE),

  PutFunctionEventInvokeConfig = EVENT_CONFIG,
  UpdateFunctionEventInvokeConfig = EVENT_CONFIG,
  GetFunctionEventInvokeConfig = QUALIFIED,
  DeleteFunctionEventInvokeConfig = QUALIFIED,
  ListFunctionEventInvokeConfigs = with(SHORT_PAGE, { FunctionName = NAMESPACED }),

  GetAccountSettings = {},
  GetFunctionCodeSigningConfig = ONE,
  ListEventSourceMappings = {},
}

return shapes
