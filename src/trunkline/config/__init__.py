"""The configuration: what can be set, where it is looked up, and the secrets it names."""

from trunkline.config.load import FILE_NAME as FILE_NAME
from trunkline.config.load import SECTIONS as SECTIONS
from trunkline.config.load import Key as Key
from trunkline.config.load import describe as describe
from trunkline.config.load import load as load
from trunkline.config.load import locate as locate
from trunkline.config.load import variable as variable
from trunkline.config.secrets import create_private as create_private
from trunkline.config.secrets import derive as derive
from trunkline.config.secrets import home as home
from trunkline.config.secrets import make_home as make_home
from trunkline.config.secrets import readable_by_others as readable_by_others
from trunkline.config.secrets import replace_private as replace_private
from trunkline.config.secrets import secret as secret
from trunkline.config.settings import DatabaseSettings as DatabaseSettings
from trunkline.config.settings import EgressSettings as EgressSettings
from trunkline.config.settings import EngineSettings as EngineSettings
from trunkline.config.settings import MCPServerSettings as MCPServerSettings
from trunkline.config.settings import MCPSettings as MCPSettings
from trunkline.config.settings import ModelSettings as ModelSettings
from trunkline.config.settings import ProviderSettings as ProviderSettings
from trunkline.config.settings import RoutingSettings as RoutingSettings
from trunkline.config.settings import Secret as Secret
from trunkline.config.settings import ServerSettings as ServerSettings
from trunkline.config.settings import Settings as Settings
from trunkline.config.settings import database_url as database_url
